"""Leaving a run at the end of a step when a signal asks for it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# SLURM ends a job with SIGTERM; SIGUSR1 is what its users let it send ahead of a time limit
# (`--signal=USR1@300`).
SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
]


@dataclass
class StopSignal:
    """The signal that asked for an end, if one did."""

    received: int | None = None


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Remember SIGTERM, SIGUSR1 or Ctrl-C while the block runs; a second Ctrl-C leaves at once.

    Data workers inherit the handler, so that a Ctrl-C, which reaches them too, leaves the step in
    progress its data. A SIGTERM to the whole job does end them: their deaths must not break that
    step, and if the run is waiting for their data, it stops where it is.

    Raises:
        SystemExit: a RuntimeError left the block after a signal.
    """
    stop, former = StopSignal(), {}

    def receive(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.received == signal.SIGINT:
            raise KeyboardInterrupt
        stop.received = number
        if signal.SIGCHLD not in former:
            # torch raises from this one when a data worker ends.
            former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)

    if threading.current_thread() is threading.main_thread():
        former.update({number: signal.signal(number, receive) for number in SIGNALS})
    try:
        yield stop
    except RuntimeError as error:
        if not stop.received:
            raise
        print(
            f"Stopped between two checkpoints ({error}). Run the same command with --resume to "
            "go on from the last one."
        )
        raise SystemExit(128 + stop.received) from error
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
