"""Files from elsewhere, kept on this machine under their checksum and within a limit.

$GEOSET_CACHE      the folder, else ~/.cache/geoset
$GEOSET_CACHE_GB   the limit, else 50; with 0 nothing is kept

A file is called <SHA-256>-<bytes>, so that it is never out of date, and serves every data set that
holds it. Room is made by removing what was used longest ago, but nothing used within the last hour:
a run that needs more than the limit would otherwise remove what it is about to read again. What
finds no room is not kept, and its reader reads the parts that it wants from where they lie.
"""

import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock

from geoset.errors import GeosetError
from geoset.files import atomic_path, remove_partial

IN_USE_SECONDS = 3600
SPARE_BYTES = 10**9  # of the disk, left to others
_KEPT = re.compile(r"\.?[0-9a-f]{64}-(\d+)\b")  # a dot in front: on its way


def fetch(entry: dict[str, Any], suffix: str, download: Callable[[Path], None]) -> Path | None:
    """Return the file of size and checksum `entry`, downloaded if need be; None: there is no room.

    `download` writes the file, or raises. Of several processes one downloads, the others wait; one
    that is killed leaves nothing that counts.

    Raises:
        GeosetError: the folder or the limit cannot be used, or what `download` raises.
    """
    folder, limit = _settings()
    target = folder / f"{entry['sha256']}-{entry['bytes']}{suffix}"
    if not _KEPT.match(target.name):
        raise GeosetError(f"{target.name}: is no SHA-256 and size; the scene's files are damaged")
    locks = folder / "locks"
    try:
        if is_there(target):
            return target
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / target.name):
            return _fetch_alone(target, entry["bytes"], limit, locks, download)
    except OSError as error:
        raise GeosetError(
            f"{folder}: cannot be used to keep files in ({error}). Let GEOSET_CACHE name a folder "
            "that can be written, or set GEOSET_CACHE_GB=0 to keep none"
        ) from error


def is_there(path: Path) -> bool:
    """Tell whether a kept file is still there, and note that it is used now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError:  # somebody else's
        return path.is_file()
    return True


def _fetch_alone(
    target: Path, size: int, limit: int, locks: Path, download: Callable[[Path], None]
) -> Path | None:
    room = FileLock(locks / "room")
    if is_there(target):  # came while we waited
        return target
    with ExitStack() as stack:
        with room:
            if not _make_room(target.parent, size, limit):
                return None
            part = stack.enter_context(atomic_path(target))
        download(part)
        with room:  # whoever counts meets it once
            stack.close()
    return target


def _settings() -> tuple[Path, int]:
    gigabytes = os.environ.get("GEOSET_CACHE_GB", "50")
    try:
        limit = int(float(gigabytes) * 1e9)
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise GeosetError(f"GEOSET_CACHE_GB is '{gigabytes}', expected a number, 0 or more")
    return Path(os.environ.get("GEOSET_CACHE") or Path.home() / ".cache/geoset"), limit


def _make_room(folder: Path, size: int, limit: int) -> bool:
    """Remove what is idle, if that makes room for `size` bytes; else remove nothing."""
    remove_partial(folder)
    kept = []
    for path in folder.iterdir():
        if name := _KEPT.match(path.name):
            try:
                kept.append((path.stat().st_mtime, path, int(name[1])))
            except FileNotFoundError:
                continue  # it was on its way, and failed
    too_much = max(
        sum(bytes_ for _, _, bytes_ in kept) + size - limit,
        size + SPARE_BYTES - shutil.disk_usage(folder).free,
    )
    idle = sorted(entry for entry in kept if entry[0] < time.time() - IN_USE_SECONDS)
    if sum(bytes_ for _, _, bytes_ in idle) < too_much:
        return False
    for _, path, bytes_ in idle:
        if too_much <= 0:
            break
        path.unlink(missing_ok=True)
        (folder / "locks" / path.name).unlink(missing_ok=True)
        too_much -= bytes_
    return True
