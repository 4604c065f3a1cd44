"""Leaving a run at the end of a step when asked to by a signal."""

import signal
import threading
from types import FrameType, TracebackType


class StopSignal:
    """Remembers SIGTERM or Ctrl-C while the block runs; a second Ctrl-C leaves at once.

    Processes forked inside the block, such as data workers, ignore Ctrl-C in the same way, so that
    the step in progress still gets its data.
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

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
