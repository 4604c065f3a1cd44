"""Do runs that need each other, several at a time, none at the cost of the others."""

import json
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.recipes.reproduce import ReproduceSettings
from geoset.tasks.reproduce_data import Sources
from geoset.tasks.reproduce_jobs import Encoder, Score, is_done, needs, run_job

Job = Encoder | Score
OUTPUT, COST = "output.txt", "cost.json"


def run_all(
    jobs: Sequence[Job],
    out: Path,
    sources: Sources,
    settings: ReproduceSettings,
    console: Console,
) -> list[tuple[Job, str]]:
    """Do the runs that are not done, in the order given as far as they are ready.

    What a run prints goes to output.txt in its folder. Returns those that failed, with the reason;
    what needs them is left out.
    """
    waiting = [job for job in jobs if not is_done(job, out)]
    do = partial(_run_quietly, out=out, sources=sources, settings=settings)
    finished = _one_by_one if settings.workers == 1 else partial(_side_by_side, settings.workers)
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        shown = progress.add_task("runs", total=len(waiting))
        for job, error in finished(waiting, out, do):
            progress.advance(shown)
            if error:
                failed.append((job, error))
    return failed


def _one_by_one(
    waiting: list[Job], out: Path, do: Callable[[Job], str]
) -> Iterator[tuple[Job, str]]:
    for job in waiting:
        if _is_ready(job, out):
            yield job, do(job)


def _side_by_side(
    workers: int, waiting: list[Job], out: Path, do: Callable[[Job], str]
) -> Iterator[tuple[Job, str]]:
    running: dict[Future, Job] = {}
    # Runs side by side take a thread each: more would wait for each other at every layer. Each has
    # a process of its own, whose peak of memory is the run's.
    with ProcessPoolExecutor(
        workers, get_context("spawn"), torch.set_num_threads, (1,), max_tasks_per_child=1
    ) as pool:
        while True:
            ready = [job for job in waiting if _is_ready(job, out)]
            for job in ready[: workers - len(running)]:
                waiting.remove(job)
                running[pool.submit(do, job)] = job
            if not running:  # what is still waiting needs a run that failed
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _is_ready(job: Job, out: Path) -> bool:
    return all(is_done(need, out) for need in needs(job))


def _run_quietly(job: Job, out: Path, sources: Sources, settings: ReproduceSettings) -> str:
    """Do a run, with what it prints in a file; return why it failed, or nothing."""
    folder = job.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / OUTPUT).open("a", buffering=1) as stream, redirect_stdout(stream):
        try:
            run_job(job, out, sources, settings)
        except GeosetError as error:
            return str(error)
        except Exception as error:  # whatever it was, other runs go on
            traceback.print_exc(file=stream)
            return f"{type(error).__name__}: {error} (see {folder / OUTPUT})"
        finally:
            _add_cost(folder, time.monotonic() - began)
    return ""


def _add_cost(folder: Path, seconds: float) -> None:
    """Add what this process has taken to what earlier ones took for the same run."""
    path = folder / COST
    before = json.loads(path.read_text()) if path.is_file() else {"seconds": 0.0, "peak_mb": 0.0}
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    cost = {
        "seconds": round(before["seconds"] + seconds, 1),
        "peak_mb": round(max(before["peak_mb"], peak)),
    }
    atomic_write(path, json.dumps(cost) + "\n")
