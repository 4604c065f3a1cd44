"""Elements of a data set, loaded ahead by worker processes as if by this one."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from geoset.errors import GeosetError


def load(
    data: Dataset, elements: Sequence[int], workers: int = 0, *, pin: bool = False
) -> Iterator[Any]:
    """Yield the given elements as `data` makes them, loaded ahead by `workers`.

    pin: put their tensors into memory that is copied to a GPU without waiting

    Raises:
        GeosetError: as `data` raises it, wherever it was loaded.
    """
    loader = DataLoader(
        _Told(data),
        batch_size=None,
        sampler=elements,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
    )
    return map(_raise_if_error, loader)


class _Told(Dataset):
    """Elements of a data set, or the errors they end in.

    One that a worker raises would come out of the loader with a traceback as its text.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __getitem__(self, element: int) -> Any:
        try:
            return self.data[element]
        except GeosetError as error:
            return error


def _as_it_is(element: Any) -> Any:
    return element


def _raise_if_error(element: Any) -> Any:
    if isinstance(element, GeosetError):
        raise element
    return element
