"""Where work is done: by processes of this machine, of Dask's workers or of Ray's.

Threads of joblib hand the work out, and each waits for its own, which is done in a process that may
die. joblib's backends for processes, Dask and Ray would end the whole run when a worker dies, and
not say whose work it was.
"""

import importlib
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import joblib

from geoset.errors import GeosetError
from geoset.tasks.isolated import IsolatedPool, ProcessDiedError

Item = TypeVar("Item")
Work = Callable[..., Any]
"""Called with an item and, where a process is near, a function that shows how far it is."""
Show = Callable[..., None]
"""Called with an item and what the work on it says of how far it is."""
PATIENCE = 60  # seconds for a cluster to answer, and for its first worker to come
OUTSTANDING = 500  # pieces given to a cluster, which has workers come and go, at the same time

IN_THIS_WORKER = IsolatedPool()  # of Dask or Ray, if this process is one of theirs


class Slots(NamedTuple):
    """Where work can be done.

    count: pieces that are handed out at the same time
    call: (work, item, show) -> result; raises ProcessDiedError
    """

    count: int
    call: Callable[[Work, Any, Show], Any]


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    name: local, dask or ray
    workers: pieces done at the same time; not of a cluster with an address, which has its own
    address: of a running cluster; none = one is started on this machine
    """

    name: str = "local"
    workers: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in OPENERS:
            raise GeosetError(f"engine is '{self.name}', expected one of {', '.join(OPENERS)}")
        if self.workers < 1:
            raise GeosetError(
                f"workers is {self.workers}, expected 1 or more; 1 works on one after the other"
            )
        if self.address and self.name == "local":
            raise GeosetError(
                f"address is {self.address}, but the engine is local; add --engine dask or "
                "--engine ray"
            )

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return self.address or "this machine"

    def open(self) -> AbstractContextManager[Slots]:
        """Start it, or connect to it; it is ended with the context if it was started.

        Raises:
            GeosetError: its package is missing, or nothing answers at the address.
        """
        return OPENERS[self.name](self)


def do_each(
    work: Work, items: Iterable[Item], slots: Slots, show: Show
) -> Iterator[tuple[Item, Any]]:
    """Yield each item with its result, as they come; a ProcessDiedError is such a result."""

    def attempt(item: Item) -> tuple[Item, Any]:
        try:
            return item, slots.call(work, item, lambda *seen: show(item, *seen))
        except ProcessDiedError as died:
            return item, died

    pool = joblib.Parallel(
        slots.count, backend="threading", batch_size=1, return_as="generator_unordered"
    )
    yield from pool(joblib.delayed(attempt)(item) for item in items)


@contextmanager
def _local(engine: Engine) -> Iterator[Slots]:
    pool = IsolatedPool()
    try:
        yield Slots(engine.workers, pool.call)
    finally:
        pool.close()


@contextmanager
def _dask(engine: Engine) -> Iterator[Slots]:
    distributed = _package("distributed")
    started_here = {
        "processes": False,  # the work has its own
        "n_workers": 1,
        "threads_per_worker": engine.workers,
        "memory_limit": 0,
        "dashboard_address": None,
    }
    where = {"address": engine.address} if engine.address else started_here
    try:
        client = distributed.Client(**where, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise GeosetError(
            f"Dask at {engine.place}: {error}; start it with: dask scheduler, and dask worker "
            "ADDRESS"
        ) from error

    def call(work: Work, item: Any, show: Show) -> Any:
        try:
            return _result(client.submit(_do_isolated, work, item, pure=False).result())
        except distributed.KilledWorker as error:
            raise ProcessDiedError("Dask's worker died again and again", str(error)) from None
        except (CancelledError, OSError) as error:
            raise GeosetError(
                f"Dask at {engine.place}: the scheduler was lost ({error}). What is finished is "
                "kept: start it, and run the same command again"
            ) from error

    with client:
        yield Slots(OUTSTANDING, call)
        client.run(_end_isolated)


@contextmanager
def _ray(engine: Engine) -> Iterator[Slots]:
    ray = _package("ray")
    try:
        if engine.address not in (None, "auto"):  # Ray would go on trying for five minutes
            host, _, port = engine.address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        ray.init(
            address=engine.address or "local",
            num_cpus=None if engine.address else engine.workers,
            include_dashboard=None if engine.address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (OSError, ValueError) as error:
        raise GeosetError(
            f"Ray at {engine.place}: {error}; start it with: ray start --head"
        ) from error
    remote = ray.remote(_do_isolated)

    def call(work: Work, item: Any, show: Show) -> Any:
        try:
            return _result(ray.get(remote.remote(work, item)))
        except ray.exceptions.RayError as error:
            raise ProcessDiedError("Ray's worker died again and again", str(error)) from None

    try:
        yield Slots(OUTSTANDING, call)
    finally:
        ray.shutdown()


def _do_isolated(work: Work, item: Any) -> Any:
    """Do work in a process beside a cluster's worker, so that the worker survives."""
    try:
        return IN_THIS_WORKER.call(work, item)
    except ProcessDiedError as died:
        return died  # raised, it would look like a mistake to Dask and Ray, and be printed


def _end_isolated() -> None:
    IN_THIS_WORKER.close()


def _result(result: Any) -> Any:
    if isinstance(result, ProcessDiedError):
        raise result
    return result


def _package(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise GeosetError(
            f"the package {name} is not installed; get it with: pip install {name}"
        ) from error


OPENERS = {"local": _local, "dask": _dask, "ray": _ray}
