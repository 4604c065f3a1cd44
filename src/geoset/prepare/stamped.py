"""Arrays as `.npy` files, each beside a `.json` stamp that says what it belongs to.

A stamp also holds the size and SHA-256 of its array.
"""

import json
from typing import Any

import numpy as np

from geoset.errors import GeosetError
from geoset.files import digest
from geoset.prepare.storage import Folder, LocalFolder

CHECKSUM = ("bytes", "sha256")


def write_stamped(folder: Folder, name: str, array: np.ndarray, stamp: dict[str, Any]) -> None:
    """Write `array` as `name`.npy and its stamp beside it; never is it beside another array."""
    folder.remove(f"{name}.json")
    with folder.writing(f"{name}.npy") as temporary:
        with temporary.open("wb") as stream:
            np.save(stream, array)
        stamp = stamp | digest(temporary)
    with folder.writing(f"{name}.json") as temporary:
        temporary.write_text(json.dumps(stamp, indent=1, sort_keys=True))


def array_names(folder: Folder, below: str) -> list[str]:
    """Return the names of the arrays in a sub-folder, sorted."""
    return sorted(n.removesuffix(".npy") for n in folder.names(below) if n.endswith(".npy"))


def read_stamp(folder: Folder, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the entries `keys` of the stamp of `name`.npy.

    Raises:
        GeosetError: it is missing, unreadable, or lacks one of them.
    """
    try:
        stamp = json.loads(folder.read_text(f"{name}.json"))
        return {key: stamp[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, name, error) from error


def read_array(folder: Folder, name: str) -> np.ndarray:
    """Read the array in `name`.npy.

    Raises:
        GeosetError: it cannot be read.
    """
    # Of a file on this machine it does not matter: older stamps have none.
    entry = {} if isinstance(folder, LocalFolder) else read_stamp(folder, name, CHECKSUM)
    try:
        with folder.file(f"{name}.npy", entry) as file:
            # Not mapped: that would keep a file open for each of what may be thousands of scenes.
            return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(folder, name, error) from error


def checksum(folder: Folder, name: str) -> dict[str, Any]:
    """Return the size and SHA-256 of `name`.npy.

    Raises:
        GeosetError: its stamp cannot be read.
    """
    if isinstance(folder, LocalFolder):
        try:
            return digest(folder.path / f"{name}.npy")
        except OSError as error:
            raise _unreadable(folder, name, error) from error
    return read_stamp(folder, name, CHECKSUM)


def _unreadable(folder: Folder, name: str, error: Exception) -> GeosetError:
    return GeosetError(f"{folder}/{name}.npy: cannot be read ({error}); make it again")
