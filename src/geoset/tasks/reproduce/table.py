"""Reproduce a table: plan its runs, do what is missing, and print it beside the published one."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from geoset.errors import GeosetError
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table
from geoset.tasks.reproduce.cells import encoder_of
from geoset.tasks.reproduce.data import (
    PAPER_SIZE,
    ROOM_SIZE,
    Sources,
    benchmark,
    make_rooms,
    make_scenes,
    published,
)
from geoset.tasks.reproduce.jobs import Encoder, Job, Score, is_done
from geoset.tasks.reproduce.page import write_page
from geoset.tasks.reproduce.plan import describe
from geoset.tasks.reproduce.results import collect, write_results
from geoset.tasks.reproduce.run import run_all
from geoset.tasks.reproduce.shared_settings import check_settings, keep_settings, shared_settings


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
    goes on. All runs of `out` have the same settings, but for seeds and workers.

    name: of TABLES
    data: see `reproduce.data.published`; None = the built-in benchmark
    only_plan: print what would be done and how long it may take, and do nothing

    Raises:
        GeosetError: there is no such table, data for it is missing, the runs in `out` were made
            with other settings, or some run failed: the table is made of the others.
        SystemExit: after Ctrl-C or SIGTERM, when what was running has saved where it is.
    """
    settings, console = settings or ReproduceSettings(), console or Console(stderr=True)
    if name not in TABLES:
        raise GeosetError(f"table '{name}' is unknown; choose from {', '.join(TABLES)}")
    table = TABLES[name]
    check_settings(out, shared_settings(settings, data))
    jobs = plan(table, settings)
    console.print(describe(table, jobs, out, settings), highlight=False)
    if only_plan:
        return None
    failed = do_missing(table, jobs, out, data, settings, console)
    results = collect(name, out, settings)
    text = write_results(name, results, out, console)
    page = write_page(
        name, results, out, settings, lambda: find_sources(table, out, data, settings)
    )
    console.print(f"table: {text}\npage:  {page}", highlight=False, soft_wrap=True)
    if failed:
        raise GeosetError(
            f"{failed} of {len(jobs)} runs failed, for the reasons above; the same command "
            "tries them again"
        )
    return text


def do_missing(
    table: Table,
    jobs: list[Job],
    out: Path,
    data: Mapping[str, Path] | None,
    settings: ReproduceSettings,
    console: Console,
) -> int:
    """Do the runs that are not done, and what they need; say which failed, and return how many.

    Raises:
        GeosetError, SystemExit: as `reproduce`.
    """
    shared = shared_settings(settings, data)
    if all(is_done(job, out) for job in jobs):
        keep_settings(out, shared)
        return 0
    sources = find_sources(table, out, data, settings)
    keep_settings(out, shared)  # not before: data may be missing
    if data is None:
        make_rooms(out / "rooms", settings.rooms, settings.workers)
    trainings = [job.trainings[-1] for job in jobs if isinstance(job, Encoder)]
    split = "all" if settings.scale == "paper" else "train"  # the paper's: validation's scenes, too
    make_scenes(sources, trainings, settings.workers, split)
    failed = run_all(jobs, out, sources, settings, console)
    for job, error in failed:
        console.print(f"failed: {job.folder(out)}: {error}", markup=False, highlight=False)
    return len(failed)


def plan(table: Table, settings: ReproduceSettings) -> list[Job]:
    """Return the runs of a table, each once, in an order in which they can be done."""
    jobs: dict[Path, Job] = {}
    for seed in settings.seed_numbers:
        for row in table.rows:
            if not runs(row, settings):
                continue
            for column in table.columns:
                for job in jobs_of(row, column, seed, settings):
                    jobs.setdefault(job.folder(Path()), job)
    return list(jobs.values())


def jobs_of(row: str, column: Column, seed: int, settings: ReproduceSettings) -> list[Job]:
    """Return the runs that a cell needs for one seed: its encoder's, and what it scores."""
    encoder = encoder_of(row, column.task.backbone, seed, settings)
    return [*encoder.chain, Score(column.task, encoder)]


def runs(row: str, settings: ReproduceSettings) -> bool:
    """Tell whether a method can be run: the small scale has no ImageNet weights."""
    return bool(METHODS[row].trainings) or row == "scratch" or settings.scale == "paper"


def find_sources(
    table: Table, out: Path, data: Mapping[str, Path] | None, settings: ReproduceSettings
) -> Sources:
    """Find what the runs learn from; the rooms of the benchmark need not be there yet.

    Raises:
        GeosetError: data that the table needs is not given, or not there.
    """
    if data is None:
        return benchmark(out / "rooms")
    needed = {column.task.data for column in table.columns}
    size = PAPER_SIZE if settings.scale == "paper" else ROOM_SIZE
    return published(out / "scenes", data, sorted(needed), size)
