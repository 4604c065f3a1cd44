"""Reading from URLs through fsspec; what its file systems raise gets a name and an advice."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from geoset.errors import GeosetError
from geoset.files import digest

REQUESTS_AT_ONCE = 16
Item, Result = TypeVar("Item"), TypeVar("Result")


def at_once(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `function` of each item, in their order; what they wait for, they wait for together.

    For a thousand scenes elsewhere that is seconds in place of a minute.
    """
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(function, items))


@contextmanager
def reaching(url: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """Yield the file system and path of a URL.

    Raises:
        GeosetError: in place of what the block raises; only FileNotFoundError stays itself.
    """
    try:
        fs, path = url_to_fs(url)  # each time: it must not go from one process to another
        fs.invalidate_cache()  # of listings: others add scenes and layers
        yield fs, path
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # a file where a folder would be
        raise FileNotFoundError(url) from error
    except ImportError as error:
        raise GeosetError(
            f"{url}: {error}, for example with: pip install s3fs (gcsfs for gs://, adlfs for az://)"
        ) from error
    except Exception as error:  # each file system has types of its own
        denied = isinstance(error, PermissionError) or getattr(error, "status", 0) in (401, 403)
        advice = (
            "you may not do that; check the rights and the credentials that are in use"
            if denied
            else "check the address and the connection, then run the same command again"
        )
        text = str(error) or type(error).__name__
        raise GeosetError(f"{url}: cannot be reached ({text}); {advice}") from error


def make_folders(fs: AbstractFileSystem, folder: str) -> None:
    """Make a folder and those above it, but not what may be a bucket: that is a slip of the pen."""
    if "/" in folder.strip("/") and not fs.exists(folder):
        make_folders(fs, folder.rpartition("/")[0])
        with suppress(FileExistsError):  # another process was faster
            fs.mkdir(folder, create_parents=False)


def download(url: str, entry: dict[str, Any], target: Path) -> None:
    """Fetch a file of a known size and checksum; once more if it arrives otherwise.

    Raises:
        GeosetError: it does not arrive so.
    """

    def once() -> None:
        with reaching(url) as (fs, path):
            fs.get_file(path, str(target))
        found = digest(target)
        if found != entry:
            raise GeosetError(
                f"{url}: {found['bytes']} bytes arrived, expected {entry['bytes']} of another "
                "content. If it happens again, the copy there is damaged: copy the scene again"
            )

    _again_once(once, url)


@lru_cache(maxsize=256)  # a frame's image, depth and vertex map come by one request: 30 MB in all
def read_range(url: str, sha256: str, start: int, end: int) -> bytes:
    """Return bytes [start, end) of a file; asked for again if that fails.

    sha256: of the file, whose bytes are remembered a while
    Raises:
        GeosetError: they cannot be had.
    """

    def once() -> bytes:
        with reaching(url) as (fs, path):
            found = fs.cat_file(path, start=start, end=end)
        if len(found) != end - start:
            raise GeosetError(
                f"{url}: answered {len(found)} bytes when asked for {end - start}. A server that "
                "does not know byte ranges can serve scenes that fit into the local cache: make it "
                "larger, by GEOSET_CACHE_GB"
            )
        return found

    return _again_once(once, url)


def _again_once(read: Callable[[], Result], url: str) -> Result:
    try:
        return read()
    except (GeosetError, FileNotFoundError):
        pass
    try:
        return read()
    except FileNotFoundError as error:
        raise GeosetError(f"{url}: is missing; copy the scene there again") from error
