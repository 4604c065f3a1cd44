"""Leaving a run at the end of a step when a signal asks for it."""

import signal
import threading
from types import FrameType, TracebackType


class StopSignal:
    """Remembers SIGTERM or Ctrl-C while the block runs; a second Ctrl-C leaves at once.

    Data workers inherit the handler, so that a Ctrl-C, which reaches them too, leaves the step in
    progress its data. A SIGTERM to the whole job does end them: their deaths must not break that
    step, and if the run is waiting for their data, it stops where it is.

    Raises:
        SystemExit: on leaving the block with a RuntimeError after a signal.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._former = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self.received and isinstance(error, RuntimeError):
            print(
                f"Stopped between two checkpoints ({error}). Run the same command with --resume to "
                "go on from the last one."
            )
            raise SystemExit(128 + self.received) from error

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if signal.SIGCHLD not in self._former:
            # torch raises from this one when a data worker ends.
            self._former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
