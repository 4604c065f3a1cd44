"""What the runs of a table took: steps and their time, time and memory of whole processes."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Table
from geoset.tasks.reproduce.cells import scored, trained
from geoset.tasks.reproduce.jobs import COST, Encoder, Job
from geoset.training.log import read_log

QUIET = 0.05  # of all steps, the fastest: a busy machine slows most of the others


def costs(table: Table, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return what pre-training and scoring took, for each row, as JSON holds it.

    Of each row, "stages": name, "steps" and "step_s", the seconds of a step on a quiet machine;
    "training", and "scoring" for each column: "n" seeds measured, and their mean "seconds" by the
    clock and "peak_mb" of a process. Of pre-training those of the first column's backbone.
    "preparing": how many "scenes" there are, of how many the time was "measured", their "seconds".
    """
    rows = {}
    for row in table.rows:
        encoders = trained(row, table.columns[0].task.backbone, out, settings)
        rows[row] = {
            "stages": _stages(encoders, out),
            "training": _mean(_cost(encoder.chain, out) for encoder in encoders),
            "scoring": [
                _mean(_cost([job], out) for job in scored(row, column.task, out, settings).values())
                for column in table.columns
            ],
        }
    return {"rows": rows, "preparing": _preparing(out)}


def _stages(encoders: Sequence[Encoder], out: Path) -> list[dict[str, Any]]:
    """Return what a seed's log says of each stage; the time of a step is of all seeds' steps."""
    seconds: dict[str, list[float]] = {}
    for encoder in encoders:
        for line in read_log(encoder.folder(out)):
            seconds.setdefault(line["stage"], []).append(line["step_s"])
    return [
        {
            "name": name,
            "steps": round(len(found) / len(encoders)),
            "step_s": round(float(np.quantile(found, QUIET)), 4),
        }
        for name, found in seconds.items()
    ]


def _cost(runs: Sequence[Job], out: Path) -> dict[str, float] | None:
    """Return what runs took together, and the most memory that one took; None if one is unknown."""
    files = [run.folder(out) / COST for run in runs]
    if not all(file.is_file() for file in files):
        return None
    found = [json.loads(file.read_text()) for file in files]
    return {
        "seconds": sum(cost["seconds"] for cost in found),
        "peak_mb": max(cost["peak_mb"] for cost in found),
    }


def _mean(costs: Iterable[dict[str, float] | None]) -> dict[str, Any]:
    known = [cost for cost in costs if cost]
    if not known:
        return {"n": 0, "seconds": None, "peak_mb": None}
    mean = {key: round(sum(c[key] for c in known) / len(known), 1) for key in known[0]}
    return {"n": len(known), **mean}


def _preparing(out: Path) -> dict[str, Any] | None:
    """Return what the last `prepare` reported: scenes that were there before have no time."""
    reports = sorted(out.glob("*/prepared/report.json"))
    if not reports:
        return None
    scenes = json.loads(reports[0].read_text())["scenes"]
    seconds = [scene["seconds"] for scene in scenes if scene["seconds"] is not None]
    return {"scenes": len(scenes), "measured": len(seconds), "seconds": round(sum(seconds), 1)}
