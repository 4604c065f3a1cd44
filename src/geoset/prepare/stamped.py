"""Arrays as `.npy` files, each beside a `.json` stamp that says what it belongs to."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write


def write_stamped(file: Path, array: np.ndarray, stamp: dict[str, Any]) -> None:
    """Write `array` to `file` (.npy) and `stamp` beside it; never is it beside another array."""
    file.with_suffix(".json").unlink(missing_ok=True)
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)
    atomic_write(file.with_suffix(".json"), json.dumps(stamp, indent=1, sort_keys=True))


def read_stamp(file: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the entries `keys` of the stamp of `file`.

    Raises:
        GeosetError: it is missing, unreadable, or lacks one of them.
    """
    try:
        stamp = json.loads(file.with_suffix(".json").read_text())
        return {key: stamp[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, error) from error


def read_array(file: Path) -> np.ndarray:
    """Map the array in `file` into memory, read-only.

    Raises:
        GeosetError: it cannot be read.
    """
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> GeosetError:
    return GeosetError(f"{file}: cannot be read ({error}); make it again")
