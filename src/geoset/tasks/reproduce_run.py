"""Do runs that need each other, several at a time, none at the cost of the others."""

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geoset.errors import GeosetError
from geoset.recipes.reproduce import ReproduceSettings
from geoset.tasks.reproduce_data import Sources
from geoset.tasks.reproduce_jobs import Encoder, Score, is_done, needs, run_job

Job = Encoder | Score
OUTPUT = "output.txt"


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
    failed: list[tuple[Job, str]] = []
    running: dict[Future, Job] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    context = get_context("spawn")
    with (
        ProcessPoolExecutor(
            settings.workers, context, _one_thread if settings.workers > 1 else None
        ) as pool,
        Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress,
    ):
        shown = progress.add_task("runs", total=len(waiting))
        while waiting or running:
            ready = [job for job in waiting if all(is_done(need, out) for need in needs(job))]
            for job in ready[: settings.workers - len(running)]:
                waiting.remove(job)
                running[pool.submit(_run_quietly, run_job, job, out, sources, settings)] = job
            if not running:  # all that is left needs what failed
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job, error = running.pop(future), future.result()
                progress.advance(shown)
                if error:
                    failed.append((job, error))
    return failed


def _one_thread() -> None:
    """Runs side by side take a thread each: more would wait for each other at every layer."""
    import torch

    torch.set_num_threads(1)


def _run_quietly(run: Callable, job: Job, out: Path, *arguments) -> str:
    """Do a run, with what it prints in a file; return why it failed, or nothing."""
    folder = job.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("a", buffering=1) as stream, redirect_stdout(stream):
        try:
            run(job, out, *arguments)
        except GeosetError as error:
            return str(error)
        except Exception as error:  # whatever it was, other runs go on
            traceback.print_exc(file=stream)
            return f"{type(error).__name__}: {error} (see {folder / OUTPUT})"
    return ""
