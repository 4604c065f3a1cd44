"""The runs behind a cell of a table, and what their figures amount to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoset.evaluation.intervals import mean_and_margin
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Task
from geoset.tasks.reproduce.jobs import Encoder, Score, is_done


def encoder_of(row: str, backbone: str, seed: int, settings: ReproduceSettings) -> Encoder:
    """Return what a method has trained when all its trainings have ended."""
    backbone = backbone if settings.scale == "paper" else "small"
    return Encoder(row, len(METHODS[row].trainings), backbone, seed)


def scored(row: str, task: Task, out: Path, settings: ReproduceSettings) -> dict[int, Score]:
    """Return what a method has scored in a task, by seed: runs that have ended.

    The small scale has one network: tasks of another than the first have no scores of their own.
    """
    if settings.scale == "small" and task.backbone != Task(task.kind).backbone:
        return {}
    jobs = {
        seed: Score(task, encoder_of(row, task.backbone, seed, settings))
        for seed in settings.seed_numbers
    }
    return {seed: job for seed, job in jobs.items() if is_done(job, out)}


def trained(row: str, backbone: str, out: Path, settings: ReproduceSettings) -> list[Encoder]:
    """Return what a method has trained, an encoder a seed; none where there is no training."""
    encoders = [encoder_of(row, backbone, seed, settings) for seed in settings.seed_numbers]
    return [encoder for encoder in encoders if encoder.trainings and is_done(encoder, out)]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return how many values there are, their mean and its margin; null where there is none."""
    if not values:
        return {"n": 0, "mean": None, "margin": None}
    mean, margin = mean_and_margin(values)
    known = None if margin != margin else round(margin, 3)
    return {"n": len(values), "mean": round(mean, 3), "margin": known}
