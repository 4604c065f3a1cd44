"""The plan of a table, and how long it may take."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table as Printed

from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Table
from geoset.tasks.reproduce.jobs import COST, Encoder, Job, is_done

# Seconds of one core of a plain machine at the small scale, a run.
SMALL_SECONDS = {"probe": 90, "segmentation": 120, "instances": 400}
SECONDS_A_STAGE = {"view": 300, "sets": 300, "depth": 300, "geo": 600}


def describe(table: Table, jobs: Sequence[Job], out: Path, settings: ReproduceSettings) -> Printed:
    """Show what runs a table is made of, what is done, and how long the rest may take."""
    planned, left = Counter(), Counter()
    for job in jobs:
        kind = _kind(job)
        planned[kind] += 1
        left[kind] += not is_done(job, out)
    printed = Printed(title=table.title, title_justify="left", caption_justify="left")
    for heading in ("run", "planned", "to do"):
        printed.add_column(heading, justify="left" if heading == "run" else "right")
    for kind, count in planned.items():
        printed.add_row(kind, str(count), str(left[kind]))
    printed.caption = time_left(jobs, out, settings)
    return printed


def time_left(jobs: Sequence[Job], out: Path, settings: ReproduceSettings) -> str:
    """Say how long the runs that are not done may take.

    It is estimated for a plain machine, and corrected by what the runs that are done have taken.
    """
    pace, left = _paces(jobs, out, settings), [job for job in jobs if not is_done(job, out)]
    if settings.scale == "paper" and not set(map(_sort, left)) <= pace.keys():
        return "the first lines of each run say how long it takes"
    seconds = sum(_seconds(job, settings) * pace.get(_sort(job), 1.0) for job in left)
    basis = "at the pace so far" if pace else "on a plain machine"
    hours = seconds / 3600 / settings.workers
    text = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
    return f"about {text} left, {settings.workers} run(s) at a time, {basis}"


def _paces(jobs: Sequence[Job], out: Path, settings: ReproduceSettings) -> dict[str, float]:
    """Return what the finished runs of each sort have taken, over what was estimated."""
    taken, estimated = Counter(), Counter()
    for job in jobs:
        if is_done(job, out) and (seconds := _taken(job, out)):
            taken[_sort(job)] += seconds
            estimated[_sort(job)] += _seconds(job, settings)
    return {sort: taken[sort] / estimated[sort] for sort in taken}


def _sort(job: Job) -> str:
    """Return what runs are of that are off their estimates alike."""
    return "training" if isinstance(job, Encoder) else job.task.kind


def _taken(job: Job, out: Path) -> float:
    """Return the seconds that a run has taken; 0 = they are not known."""
    path = job.folder(out) / COST
    return json.loads(path.read_text())["seconds"] if path.is_file() else 0.0


def _kind(job: Job) -> str:
    if isinstance(job, Encoder):
        return f"train {job.trainings[-1].name}"
    task = job.task
    name = {"probe": "probe", "segmentation": f"fine-tune {task.architecture}"}
    share = f" with {task.share:.0%} of the labels" if task.share < 1 else ""
    return f"{name.get(task.kind, 'fine-tune Mask R-CNN')}, {task.data}{share}"


def _seconds(job: Job, settings: ReproduceSettings) -> float:
    """Estimate a run at the small scale."""
    if isinstance(job, Encoder):
        terms = job.trainings[-1].terms or {"view": 1.0}
        return sum(SECONDS_A_STAGE[term] for term in terms) * (settings.pretrain_steps or 800) / 800
    usual = SMALL_SECONDS[job.task.kind]
    return usual * (settings.finetune_steps or 300) / 300 if job.task.kind != "probe" else usual
