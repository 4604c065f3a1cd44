"""The plan of a table, and how long it may take."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table as Printed

from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Table
from geoset.tasks.reproduce_jobs import Encoder, Score, is_done

# Seconds of one core of a plain machine at the small scale, a run.
SMALL_SECONDS = {"probe": 90, "segmentation": 120, "instances": 400}
SECONDS_A_STAGE = {"view": 300, "sets": 300, "depth": 300, "geo": 1100}


def describe(
    table: Table, jobs: Sequence[Encoder | Score], out: Path, settings: ReproduceSettings
) -> Printed:
    """Show what runs a table is made of, what is done, and how long the rest may take."""
    planned, left, seconds = Counter(), Counter(), 0.0
    for job in jobs:
        kind = _kind(job)
        planned[kind] += 1
        if not is_done(job, out):
            left[kind] += 1
            seconds += _seconds(job, settings)
    printed = Printed(title=table.title, title_justify="left", caption_justify="left")
    for heading in ("run", "planned", "to do"):
        printed.add_column(heading, justify="left" if heading == "run" else "right")
    for kind, count in planned.items():
        printed.add_row(kind, str(count), str(left[kind]))
    if settings.scale == "small":
        hours = seconds / 3600 / settings.workers
        printed.caption = (
            f"about {hours:.1f} hours on {settings.workers} core(s) of a plain machine"
        )
    else:
        printed.caption = "the first lines of each run say how long it takes"
    return printed


def _kind(job: Encoder | Score) -> str:
    if isinstance(job, Encoder):
        return f"train {job.trainings[-1].name}"
    task = job.task
    name = {"probe": "probe", "segmentation": f"fine-tune {task.architecture}"}
    share = f" with {task.share:.0%} of the labels" if task.share < 1 else ""
    return f"{name.get(task.kind, 'fine-tune Mask R-CNN')}, {task.data}{share}"


def _seconds(job: Encoder | Score, settings: ReproduceSettings) -> float:
    """Estimate a run at the small scale."""
    if isinstance(job, Encoder):
        terms = job.trainings[-1].terms or {"view": 1.0}
        return sum(SECONDS_A_STAGE[term] for term in terms) * (settings.pretrain_steps or 800) / 800
    usual = SMALL_SECONDS[job.task.kind]
    return usual * (settings.finetune_steps or 300) / 300 if job.task.kind != "probe" else usual
