"""Reproduce a table: plan its runs, do what is missing, and print it beside the published one."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from geoset.errors import GeosetError
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table
from geoset.tasks import reproduce_data
from geoset.tasks.reproduce_data import PAPER_SIZE, ROOM_SIZE
from geoset.tasks.reproduce_jobs import Encoder, Score, is_done
from geoset.tasks.reproduce_page import write_page
from geoset.tasks.reproduce_plan import describe
from geoset.tasks.reproduce_results import collect, write_results
from geoset.tasks.reproduce_run import run_all

Job = Encoder | Score


def reproduce(
    name: str,
    out: Path,
    data: Mapping[str, Path] | None = None,
    settings: ReproduceSettings | None = None,
    only_plan: bool = False,
    console: Console | None = None,
) -> Path | None:
    """Make a table in the folder `out`; return the path of its text, `table-NAME.md`.

    Runs that are there are not done again, whatever table they were done for; what was stopped
    goes on.

    name: of TABLES
    data: see `reproduce_data.published`; None = the built-in benchmark
    only_plan: print what would be done and how long it may take, and do nothing

    Raises:
        GeosetError: there is no such table, or data for it is missing.
    """
    settings, console = settings or ReproduceSettings(), console or Console(stderr=True)
    if name not in TABLES:
        raise GeosetError(f"table '{name}' is unknown; choose from {', '.join(TABLES)}")
    table = TABLES[name]
    jobs = plan(table, settings)
    console.print(describe(table, jobs, out, settings), highlight=False)
    if only_plan:
        return None
    if not all(is_done(job, out) for job in jobs):
        sources = find_sources(table, out, data, settings)
        trainings = [job.trainings[-1] for job in jobs if isinstance(job, Encoder)]
        reproduce_data.make_scenes(sources, trainings, settings.workers)
        for job, error in run_all(jobs, out, sources, settings, console):
            console.print(f"failed: {job.folder(out)}: {error}", markup=False, highlight=False)
    results = collect(name, out, settings)
    text = write_results(name, results, out, console)
    page = write_page(
        name, results, out, settings, lambda: find_sources(table, out, data, settings, make=False)
    )
    console.print(f"table: {text}\npage:  {page}", highlight=False, soft_wrap=True)
    return text


def plan(table: Table, settings: ReproduceSettings) -> list[Job]:
    """Return the runs of a table, each once, in an order in which they can be done."""
    jobs: dict[Path, Job] = {}
    for seed in range(settings.seeds):
        for row in table.rows:
            if not runs(row, settings):
                continue
            for column in table.columns:
                for job in jobs_of(row, column, seed, settings):
                    jobs.setdefault(job.folder(Path()), job)
    return list(jobs.values())


def jobs_of(row: str, column: Column, seed: int, settings: ReproduceSettings) -> list[Job]:
    """Return the runs that a cell needs for one seed: its encoder's, and what it scores."""
    backbone = column.task.backbone if settings.scale == "paper" else "small"
    count = len(METHODS[row].trainings)
    encoders = [Encoder(row, stages, backbone, seed) for stages in range(1, count + 1)]
    return [*encoders, Score(column.task, Encoder(row, count, backbone, seed))]


def runs(row: str, settings: ReproduceSettings) -> bool:
    """Tell whether a method can be run: the small scale has no ImageNet weights."""
    return bool(METHODS[row].trainings) or row == "scratch" or settings.scale == "paper"


def find_sources(
    table: Table,
    out: Path,
    data: Mapping[str, Path] | None,
    settings: ReproduceSettings,
    make: bool = True,
) -> reproduce_data.Sources:
    """Find what the runs learn from; `make` the rooms of the benchmark that are not there.

    Raises:
        GeosetError: data that the table needs is not given, or not there.
    """
    if data is not None:
        needed = {column.task.data for column in table.columns}
        size = PAPER_SIZE if settings.scale == "paper" else ROOM_SIZE
        return reproduce_data.published(out / "scenes", data, sorted(needed), size)
    rooms = out / "rooms"
    if not make and not rooms.is_dir():
        raise GeosetError(f"{rooms}: is not there; name the data that the runs learned from")
    return reproduce_data.benchmark(rooms, settings.rooms, settings.workers)
