"""Whether a scene that is there already is the one asked for."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from geoset.errors import GeosetError
from geoset.prepare.scene import FORMAT_VERSION, PreparedScene
from geoset.prepare.storage import open_folder


class OutdatedError(GeosetError):
    """A finished scene is to be prepared again; `reason` is what such scenes are counted by."""

    def __init__(self, folder: str | Path, reason: str) -> None:
        super().__init__(f"{folder}: {reason}; run geoset prepare on the folder of its scan")
        self.reason = reason


def check_finished(folder: str | Path, scan_path: Path, wanted: dict) -> dict:
    """Return what a finished scene says of itself, if it is the one asked for.

    Raises:
        OutdatedError: it is stored in another format, or the scan changed since.
        GeosetError: it is, or may be, of another scan, was prepared with other settings, or is
            damaged.
    """
    info = _stored_info(folder)
    source = Path(info["scan"]["path"])
    if source != scan_path.resolve() and source.exists():
        raise GeosetError(
            f"{folder}: holds another scan of the same name, {source}. Choose another OUT for "
            f"{scan_path}, or rename its folder"
        )
    for key, value in wanted.items():
        before = info["settings"].get(key)
        if before != value:
            raise GeosetError(
                f"{folder}: was prepared with {key} = {before}, now asked with {value}. Choose "
                "another OUT, or remove the folder to prepare it again"
            )
    fingerprint = info["scan"].get("fingerprint")
    if fingerprint is not None and fingerprint != scan_fingerprint(scan_path):
        if source != scan_path.resolve():
            raise GeosetError(
                f"{folder}: was prepared from {source}, which is not there now, and {scan_path} "
                "has other files (names, sizes, times). Choose another OUT, or remove the folder "
                "to prepare it again"
            )
        raise OutdatedError(folder, "its scan changed since it was prepared")
    return info


def scan_fingerprint(path: Path) -> str:
    """Return a digest of the names, sizes and times (in seconds) of a scan's files.

    Hidden files do not count, and contents are not read; a folder behind a link counts as one file.

    Raises:
        GeosetError: the folder cannot be listed.
    """
    try:
        lines = sorted(_files(path)) if path.is_dir() else [_size_and_time(path)]
    except OSError as error:
        raise GeosetError(
            f"{error.filename or path}: cannot be listed ({error.strerror}); make it readable"
        ) from error
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _files(folder: str | Path, prefix: str = "") -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{name}/")
            else:
                yield f"{name} {_size_and_time(entry)}"


def _size_and_time(file: Path | os.DirEntry) -> str:
    try:
        status = file.stat()
    except FileNotFoundError:  # a link to nothing: the reader says so if it matters
        return "missing"
    return f"{status.st_size} {int(status.st_mtime)}"


def _stored_info(folder: str | Path) -> dict:
    try:
        return PreparedScene(folder).info
    except GeosetError:
        version = _stored_version(folder)
        if version not in (None, FORMAT_VERSION):
            raise OutdatedError(
                folder, f"is stored in format {version}, now format {FORMAT_VERSION}"
            ) from None
        raise


def _stored_version(folder: str | Path) -> int | None:
    try:
        return json.loads(open_folder(folder).read_text("scene.json"))["format_version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
