"""A process of its own for work that may kill it: by lack of memory, or inside native code.

The process ends at once when the one that started it does, however that ends.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

SERVE = "from geoset.tasks.isolated import serve; serve()"
# One piece of work takes one core; as many pieces as there are cores are done at the same time.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB")
}
LOG_BYTES = 8000  # kept of what a process wrote before it died


class ProcessDiedError(Exception):
    """The process ended without a result.

    how: the name of a signal, or an exit code; log: the end of what it wrote to stderr
    """

    def __init__(self, how: str, log: str = "") -> None:
        super().__init__(how, log)
        self.how, self.log = how, log


class IsolatedProcess:
    """Calls functions in a process of its own, one after the other."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**ONE_THREAD, **os.environ, "PYTHONPATH": paths},
        )

    def call(
        self, function: Callable, argument: Any, show: Callable[..., None] = lambda *_: None
    ) -> Any:
        """Return `function(argument, show)`, called there; `show` is called here.

        All that passes must be picklable.

        Raises:
            ProcessDiedError: the process ended on the way, or before.
        """
        task = pickle.dumps((function, argument))
        log_start = os.fstat(self._log.fileno()).st_size
        try:
            self._process.stdin.write(task)
            self._process.stdin.flush()
            while True:
                is_result, value = pickle.load(self._process.stdout)
                if is_result:
                    return value
                show(*value)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._death(log_start) from None

    def ask_to_end(self) -> None:
        """Send SIGTERM, at which a training saves where it is; `call` raises when it has."""
        self._process.terminate()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(BrokenPipeError):  # of a request that was never read
                stream.close()

    def _death(self, log_start: int) -> ProcessDiedError:
        code = self._process.wait()
        self._log.seek(max(log_start, self._log.seek(0, os.SEEK_END) - LOG_BYTES))
        log = self._log.read().decode(errors="replace")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ProcessDiedError(how, log)


class IsolatedPool:
    """Processes that are started when needed and used again; for calls from many threads."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[IsolatedProcess] = queue.SimpleQueue()
        self._started: set[IsolatedProcess] = set()

    def call(
        self, function: Callable, argument: Any, show: Callable[..., None] = lambda *_: None
    ) -> Any:
        """Call `function` in a process that does nothing else meanwhile.

        Raises:
            ProcessDiedError: the process ended on the way, or before.
        """
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = IsolatedProcess()
            self._started.add(process)
        try:
            result = process.call(function, argument, show)
        except ProcessDiedError:
            process.close()  # or its pipes and its log stay open for as long as the pool
            self._started.discard(process)
            raise
        self._idle.put(process)
        return result

    def close(self) -> None:
        """End all processes; they are started again when needed."""
        while not self._idle.empty():
            self._idle.get()
        for process in tuple(self._started):  # in other threads, some may die meanwhile
            process.close()
            self._started.discard(process)


def serve() -> None:
    """Do what the parent asks for, until it has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's affair
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed gets between the results
    tasks = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, tasks), daemon=True).start()
    while True:
        function, argument = tasks.get()
        result = function(argument, lambda *seen: _send(results, (False, seen)))
        _send(results, (True, result))


def _send(stream: BinaryIO, message: tuple) -> None:
    stream.write(pickle.dumps(message))
    stream.flush()


def _receive(stream: BinaryIO, tasks: queue.SimpleQueue) -> None:
    """Pass requests on; end this process when there will be no more, or one cannot be read."""
    try:
        while True:
            tasks.put(pickle.load(stream))
    except EOFError:
        pass
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)
