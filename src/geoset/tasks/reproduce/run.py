"""Do runs that need each other, several at a time, none at the cost of the others."""

import json
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.recipes.reproduce import ReproduceSettings
from geoset.tasks.isolated import IsolatedProcess, ProcessDiedError
from geoset.tasks.reproduce.data import Sources
from geoset.tasks.reproduce.jobs import COST, Job, is_done, needs, run_job
from geoset.tasks.reproduce.plan import time_left
from geoset.training.stop import StopSignal, stop_signals

OUTPUT = "output.txt"
POLL = 0.5  # seconds between two looks at whether a signal has come


@dataclass(frozen=True)
class Work:
    """A run, with all that its process needs to know."""

    job: Job
    out: Path
    sources: Sources
    settings: ReproduceSettings
    threads: int


def run_all(
    jobs: Sequence[Job],
    out: Path,
    sources: Sources,
    settings: ReproduceSettings,
    console: Console,
) -> list[tuple[Job, str]]:
    """Do the runs that are not done, in the order given as far as they are ready.

    Each has a process of its own, whose death costs that run alone. What it prints goes to
    output.txt in its folder, what it took to cost.json. Returns the runs that failed, with the
    reason; what needs them is left out.

    Raises:
        SystemExit: after Ctrl-C or SIGTERM, when trainings have saved where they are.
        KeyboardInterrupt: after a second Ctrl-C, at once.
    """
    # Runs side by side take a thread each: more would wait for each other at every layer.
    threads = torch.get_num_threads() if settings.workers == 1 else 1
    left = [job for job in jobs if not is_done(job, out)]
    waiting = [Work(job, out, sources, settings, threads) for job in left]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    failed = []
    with stop_signals() as stop, Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        shown = progress.add_task("runs", total=len(left))
        for done, (job, error) in enumerate(_outcomes(waiting, settings.workers, stop, console), 1):
            progress.advance(shown)
            failed += [(job, error)] if error else []
            console.print(
                f"{done} of {len(left)}: {job.folder(Path())} {'failed' if error else 'done'}; "
                f"{time_left(jobs, out, settings)}",
                highlight=False,
                soft_wrap=True,
            )
    if stop.received:
        console.print("Stopped. The same command goes on from here.")
        raise SystemExit(128 + stop.received)
    return failed


def _outcomes(
    waiting: list[Work], workers: int, stop: StopSignal, console: Console
) -> Iterator[tuple[Job, str]]:
    """Yield runs as they end, with the reason of those that failed, until a signal has come."""
    running: dict[Future[str], tuple[Work, IsolatedProcess]] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            while not stop.received:
                ready = filter(_is_ready, waiting)  # looks at files: only where a worker is free
                for work in list(islice(ready, workers - len(running))):
                    waiting.remove(work)
                    process = IsolatedProcess()
                    running[pool.submit(process.call, do_quietly, work)] = work, process
                if not running:  # what is still waiting needs a run that failed
                    return
                for future in wait(running, POLL, FIRST_COMPLETED).done:
                    work, process = running.pop(future)
                    process.close()
                    yield work.job, _error(future, work)
            console.print("Stopping: trainings save where they are. Ctrl-C again: at once.")
            for _, process in running.values():
                process.ask_to_end()
            wait(running)
        finally:
            for _, process in running.values():
                process.close()


def _is_ready(work: Work) -> bool:
    return all(is_done(need, work.out) for need in needs(work.job))


def _error(ended: Future[str], work: Work) -> str:
    """Return why a run failed, or nothing."""
    try:
        return ended.result()
    except ProcessDiedError as died:
        path = work.job.folder(work.out) / OUTPUT
        path.parent.mkdir(parents=True, exist_ok=True)  # it may have died before its work
        with path.open("a") as stream:
            stream.write(died.log)
        why = ", perhaps for lack of memory" if died.how == "SIGKILL" else ""
        return f"its process died ({died.how}){why} (see {path})"


def do_quietly(work: Work, show: Any = None) -> str:
    """Do a run in this process, with what it prints in a file; return why it failed, or nothing."""
    torch.set_num_threads(work.threads)
    folder = work.job.folder(work.out)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / OUTPUT).open("a", buffering=1) as stream, redirect_stdout(stream):
        try:
            run_job(work.job, work.out, work.sources, work.settings)
        except GeosetError as error:
            return str(error)
        except Exception as error:  # whatever it was, it is told in one line, and here in full
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
