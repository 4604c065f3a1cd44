"""Folders that scenes lie in: on this machine, or at a URL that fsspec reaches.

Both kinds answer alike. Of a folder elsewhere, files that carry a checksum are fetched whole when
first used and kept (see `geoset.prepare.cache`): training reads the frames of a scene many times,
in random order, and the scenes of a large data set (ScanNet: 29 GB) fit on one disk. When they do
not, the frames of what found no room are read by byte ranges, one request a frame.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from geoset.errors import GeosetError
from geoset.files import atomic_path
from geoset.prepare import cache
from geoset.prepare.transfer import download, make_folders, reaching, read_range

INDEX = "index.json"  # what HTTP needs, which does not list folders


class LocalFolder:
    """A folder on this machine. Names of files are relative to it, with slashes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.resolve().name

    @property
    def parent(self) -> "LocalFolder":
        """The folder it lies in."""
        return LocalFolder(self.path.absolute().parent)

    def place(self, name: str) -> Path:
        """Return the path or URL of a file or folder in it."""
        return self.path / name

    def read_text(self, name: str) -> str:
        """Return what a small text file holds; FileNotFoundError if it is not there."""
        return (self.path / name).read_text()

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.path / name).is_file()

    def names(self, below: str = "") -> list[str]:
        """Return the names of what lies in it, or in its sub-folder `below`, sorted."""
        folder = self.path / below
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    @contextmanager
    def file(self, name: str, entry: dict[str, Any]) -> Iterator[Path]:
        """Yield the path of a file to read on this machine; `entry`: its size and checksum."""
        yield self.path / name

    def read_member(
        self, name: str, entry: dict[str, Any], members: dict[str, list[int]], kind: str
    ) -> bytes:
        """Return a part of a file; `members`: offset and size of it and of what is read with it."""
        return _read_part(self.path / name, *members[kind])

    def check_writable(self) -> None:
        """Refuse a folder that files cannot be written into, before what is to be written is made.

        Raises:
            GeosetError: naming the folder.
        """
        if not os.access(self.path, os.W_OK):
            raise GeosetError(
                f"{self.path}: cannot be written to; make it writable, or run the same command on "
                "a copy"
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path; its file takes the name when the block ends well."""
        with atomic_path(self.path / name) as temporary:
            yield temporary

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise GeosetError(
                f"{self.path / name}: cannot be removed ({error.strerror}); make its folder "
                "writable"
            ) from error


class RemoteFolder:
    """A folder at a URL, with the methods of `LocalFolder`.

    Raises:
        GeosetError: what its file system raises, with the URL and what to do about it.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._is_http = self.url.startswith(("http://", "https://"))
        self._places: dict[str, Path | None] = {}  # of files, by checksum

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Its last part."""
        name = self.url.rpartition("/")[2]
        return unquote(name) if self._is_http else name

    @property
    def parent(self) -> "RemoteFolder":
        """See `LocalFolder`."""
        return RemoteFolder(self.url.rpartition("/")[0])

    def place(self, name: str) -> str:
        """See `LocalFolder`."""
        return f"{self.url}/{quote(name) if self._is_http else name}"

    def read_text(self, name: str) -> str:
        """See `LocalFolder`."""
        with reaching(self.place(name)) as (fs, path):
            data = fs.cat_file(path)
        return data.decode()

    def exists(self, name: str) -> bool:
        """See `LocalFolder`."""
        try:
            with reaching(self.place(name)) as (fs, path):
                # Over HTTP, fs.info calls absent what it only fails to reach.
                fs.cat_file(path, start=0, end=1) if self._is_http else fs.info(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, below: str = "") -> list[str]:
        """See `LocalFolder`; over HTTP from the index of the data set, see `write_index`."""
        if self._is_http:
            return self._indexed(below)
        try:
            with reaching(self.place(below)) as (fs, path):
                found = fs.ls(path, detail=False)
                return sorted(each.rstrip("/").rpartition("/")[2] for each in found)
        except FileNotFoundError:
            return []

    def _indexed(self, below: str) -> list[str]:
        data_set = self.parent if below else self
        try:
            scenes = json.loads(data_set.read_text(INDEX))["scenes"]
            return sorted(scenes.get(self.name, {}).get(below, []) if below else scenes)
        except FileNotFoundError as error:
            raise GeosetError(
                f"{data_set}: has no {INDEX}, without which HTTP does not tell what lies in it. "
                "Run geoset prepare again where the scenes were made (it does only what is "
                f"missing) and copy its {INDEX} there"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GeosetError(f"{data_set.place(INDEX)}: cannot be read ({error})") from error

    @contextmanager
    def file(self, name: str, entry: dict[str, Any]) -> Iterator[Path]:
        """See `LocalFolder`; the path holds while the block lasts."""
        if kept := self._kept(name, entry):
            yield kept
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder, Path(name).name)
            download(self.place(name), entry, path)
            yield path

    def read_member(
        self, name: str, entry: dict[str, Any], members: dict[str, list[int]], kind: str
    ) -> bytes:
        """See `LocalFolder`."""
        if kept := self._kept(name, entry):
            with suppress(FileNotFoundError):  # removed a moment ago, to make room for another
                return _read_part(kept, *members[kind])
        first = min(start for start, _ in members.values())
        last = max(start + size for start, size in members.values())
        frame = read_range(self.place(name), entry["sha256"], first, last)
        start, size = members[kind]
        return frame[start - first : start - first + size]

    def check_writable(self) -> None:
        """See `LocalFolder`; of what is not HTTP, whether it can be is seen when it is."""
        self._refuse_http(str(self))

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """See `LocalFolder`; the file is sent when the block ends well."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            yield path
            self.send(path, name)

    def send(self, path: Path, name: str) -> None:
        """Copy a file of this machine there."""
        with self._changing(name) as (fs, there):
            try:
                fs.put_file(str(path), there)
            except FileNotFoundError:  # it has real folders, or there is no such bucket
                make_folders(fs, there.rpartition("/")[0])
                fs.put_file(str(path), there)

    def remove(self, name: str) -> None:
        """See `LocalFolder`."""
        with self._changing(name) as (fs, path), suppress(FileNotFoundError):
            fs.rm_file(path)

    @contextmanager
    def _changing(self, name: str) -> Iterator[tuple[AbstractFileSystem, str]]:
        self._refuse_http(self.place(name))
        try:
            with reaching(self.place(name)) as reached:
                yield reached
        except FileNotFoundError as error:
            raise GeosetError(
                f"{self.place(name)}: cannot be written, there is no such bucket or folder ({error}"
                "); make it first"
            ) from error

    def _refuse_http(self, place: str) -> None:
        if self._is_http:
            raise GeosetError(
                f"{place}: cannot be written, HTTP only reads. Run the same command on a copy on "
                "this machine, and copy the result to where it is served from"
            )

    def _kept(self, name: str, entry: dict[str, Any]) -> Path | None:
        # That there is no room is decided once, not for every frame.
        if (content := entry["sha256"]) in self._places:
            place = self._places[content]
            if place is None or cache.is_there(place):
                return place
        place = cache.fetch(
            entry, Path(name).suffix, lambda path: download(self.place(name), entry, path)
        )
        self._places[content] = place
        return place


Folder = LocalFolder | RemoteFolder


def open_folder(path: str | Path) -> Folder:
    """Return the folder at a path or URL."""
    path = str(path)
    if path.startswith(("file://", "local://")):
        return LocalFolder(Path(url_to_fs(path)[1]))
    return RemoteFolder(path) if is_url(path) else LocalFolder(Path(path))


def is_url(path: str | Path) -> bool:
    """Tell whether `path` names a place that is no folder on this machine."""
    return "://" in str(path)


def _read_part(file: Path, start: int, size: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read(size)
