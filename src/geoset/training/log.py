"""What a run reports: `log.jsonl`, TensorBoard scalars, and one line of progress."""

import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.text import Text

from geoset.errors import GeosetError
from geoset.training.chance import ChanceWatch

LOG, BOARD = "log.jsonl", "tensorboard"
SECONDS_BETWEEN_LINES = 10.0  # where there is no terminal
STEPS_IN_A_RATE = 50


class Step(NamedTuple):
    """One step, as it is logged. Steps count from 1: row 120 belongs to checkpoint 120.

    step, steps: place in the run, and its length; stage_step, stage_steps: the same in the stage
    terms: named scalars, "loss" among them
    frames: images the step was made of, on all devices
    wait_seconds: in which the device was idle, waiting for the batch; seconds: the whole step, the
        wait included. On CUDA the device's own times, elsewhere the program's.
    """

    step: int
    steps: int
    stage: str
    stage_step: int
    stage_steps: int
    terms: Mapping[str, float]
    lr: float
    frames: int
    wait_seconds: float
    seconds: float


class RunLog:
    """Writes each step to the files of a run folder, and shows progress on standard output.

    done: steps already taken when the run is resumed; rows after them are cut away.

    Raises:
        GeosetError: the disk is full, or the folder cannot be written; the methods raise it too.
    """

    def __init__(self, run: Path, done: int = 0, tensorboard: bool = True) -> None:
        self._run = run
        self._chance = ChanceWatch()
        with _writing(run / LOG):
            for row in _cut_rows_after(run / LOG, done):
                self._chance.see(row["stage"], row)
            self._file = (run / LOG).open("a")
        self._board = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            with _writing(run / BOARD):
                self._board = SummaryWriter(str(run / BOARD), purge_step=done + 1)
        console = Console()
        self._live = Live(console=console) if console.is_terminal else None
        self._recent: deque[Step] = deque(maxlen=STEPS_IN_A_RATE)
        self._printed_at = -math.inf
        if self._live:
            self._live.start()

    def close(self) -> None:
        """Leave the terminal and the files as they should be."""
        if self._live:
            self._live.stop()
        for file in filter(None, (self._board, self._file)):
            with suppress(OSError):  # of rows that `write` or `sync` have raised for
                file.close()

    def write(self, step: Step) -> None:
        """Add `step` to the log and to TensorBoard, and show it."""
        terms = {k: v if math.isfinite(v) else None for k, v in step.terms.items()}
        row = {"step": step.step, "stage": step.stage, **terms, "lr": step.lr}
        row |= {"frames": step.frames, "wait_s": step.wait_seconds, "step_s": step.seconds}
        warning = self._chance.see(step.stage, terms)
        if warning:
            row["warning"] = warning
            print(f"Warning: {warning}", flush=True)
        with _writing(self._run / LOG):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        if self._board:
            with _writing(self._run / BOARD):
                for name, value in (step.terms | {"lr": step.lr}).items():
                    self._board.add_scalar(f"{step.stage}/{name}", value, step.step)

        self._show(step)

    def _show(self, step: Step) -> None:
        if self._recent and self._recent[-1].stage != step.stage:
            self._recent.clear()
        self._recent.append(step)
        if self._live:
            line = Text(progress_line(self._recent), no_wrap=True, overflow="ellipsis")
            self._live.update(line)
        elif (
            step.stage_step == step.stage_steps
            or time.monotonic() - self._printed_at > SECONDS_BETWEEN_LINES
        ):
            print(progress_line(self._recent), flush=True)
            self._printed_at = time.monotonic()

    def sync(self) -> None:
        """Make sure that the rows so far are on the disk."""
        with _writing(self._run / LOG):
            os.fsync(self._file.fileno())
        if self._board:
            with _writing(self._run / BOARD):
                self._board.flush()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GeosetError(
            f"{path}: cannot be written ({error.strerror or error}). Checkpoints are unchanged; "
            "make room, then run the same command with --resume."
        ) from error


def progress_line(recent: deque[Step]) -> str:
    """Describe the last of the `recent` steps of a stage, with rates measured over them.

    The oldest is left out where there are others: where it is the first of the stage, it has also
    started the data workers and compiled the network.
    """
    last = recent[-1]
    rated = list(recent)[1:] or [last]
    seconds = sum(step.seconds for step in rated)
    frames = sum(step.frames for step in rated)
    wait = sum(step.wait_seconds for step in rated)
    left = round((last.steps - last.step) * seconds / len(rated))
    terms = dict(last.terms)
    parts = [
        f"{last.stage} {last.stage_step}/{last.stage_steps}",
        f"loss {terms.pop('loss'):.4g}",  # first: a narrow terminal cuts the line
        f"ETA {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}",
        f"{frames / seconds:.1f} frames/s",
        f"data wait {wait / seconds:.0%}",
        f"lr {last.lr:.3g}",
        *(f"{name} {value:.4g}" for name, value in terms.items()),
    ]
    return " | ".join(parts)


def read_log(run: Path) -> list[dict]:
    """Return the rows of the run's log; a last line cut short by a kill is left out."""
    return [row for row, _ in _rows(run / LOG)]


def _cut_rows_after(path: Path, step: int) -> list[dict]:
    """Shorten the log to the rows up to `step`, and return those."""
    if not path.exists():
        return []
    kept = [(row, end) for row, end in _rows(path) if row["step"] <= step]
    os.truncate(path, kept[-1][1] if kept else 0)
    return [row for row, _ in kept]


def _rows(path: Path) -> Iterator[tuple[dict, int]]:
    """Yield each row and the byte at which it ends, up to the first that was not written whole."""
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            row = json.loads(line)
        except ValueError:
            return
        end += len(line)
        yield row, end
