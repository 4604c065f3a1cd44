"""Writing files so that a reader never meets half of one, and telling them apart."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geoset.errors import GeosetError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` when the block ends well.

    Raises:
        GeosetError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    path = Path(path)
    handle, temporary = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        fcntl.flock(handle, fcntl.LOCK_EX)  # ends with this process, however that ends
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise GeosetError(
            f"{path}: cannot be written ({error.strerror or error}). What was there before is "
            "unchanged; make room or choose another folder, then run the same command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write `data` to `path`, all of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def remove_partial(folder: Path) -> None:
    """Remove what killed writers left behind in `folder`, and nothing that is being written."""
    for leftover in folder.glob(".*.part"):
        try:
            with leftover.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):  # in use, or finished in the meantime
            continue


def digest(path: Path) -> dict[str, Any]:
    """Return the size and SHA-256 of a file."""
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
