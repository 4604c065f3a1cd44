"""Image, pose and intrinsics files as arrays, in canonical units; meshes."""

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import read_ply

UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
FORMATS = ("PNG", "JPEG")  # others of Pillow's may start programs
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MOST_PIXELS_A_BYTE = 10_000  # of an image file; PNG reaches 8,256 where all of it is black
NO_DEPTH = 65535  # what some sensors write instead of 0


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the file's header alone."""
    with _open_image(path) as image:
        return image.size


def read_color(path: Path) -> np.ndarray:
    """Read an image as (H,W,3) uint8 RGB."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        with _open_image(path) as image:
            return np.asarray(image.convert("RGB"))
    try:
        data = read_bytes(path)
        _check_length(path, simplejpeg.decode_jpeg_header(data)[:2])
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def read_integers(path: Path) -> np.ndarray:
    """Read a one-channel image of 8 or 16 bits as (H,W) uint16."""
    with _open_image(path) as image:
        pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise GeosetError(f"{path}: expected one channel of 8 or 16 bits, found {pixels.shape}")
    return pixels.astype(np.uint16)


def read_mask(path: Path, masked_is_black: bool = False) -> np.ndarray:
    """Read an image as (H,W) bool, True where it is not black; or where it is."""
    return read_color(path).any(axis=2) != masked_is_black


def read_depth(path: Path, units_per_metre: float = 1000.0) -> np.ndarray:
    """Read a 16-bit depth image as (H,W) float32 metres; 0 and 65535 become 0."""
    raw = read_integers(path)
    depth = raw.astype(np.float32) / np.float32(units_per_metre)
    depth[raw == NO_DEPTH] = 0
    return depth


def read_matrix(path: Path) -> np.ndarray:
    """Read a text file of numbers, one row a line, as float64."""
    try:
        rows = [line.split() for line in read_bytes(path).splitlines() if line.strip()]
        matrix = np.array(rows, dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if matrix.size == 0:
        raise GeosetError(f"{path}: is empty, expected a matrix, one row a line")
    return matrix


def read_intrinsics(path: Path, width: int, height: int) -> Camera:
    """Read a 3x3 or 4x4 intrinsic matrix published for integer pixel centres."""
    return camera_from_integer_centres(
        checked_intrinsics(path, read_matrix(path), width, height), width, height
    )


def checked_intrinsics(path: Path, K: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the (3,3) camera matrix `K`, read from `path`, if it can be that of such images.

    Raises:
        GeosetError: it is none, or its centre is far from theirs.
    """
    if K.shape not in ((3, 3), (4, 4)) or not np.isfinite(K).all() or min(K[0, 0], K[1, 1]) <= 0:
        raise GeosetError(
            f"{path}: expected a 3x3 (or 4x4) camera matrix with positive focal lengths, "
            f"found {K.tolist()}"
        )
    if not (0.1 * width < K[0, 2] < 0.9 * width and 0.1 * height < K[1, 2] < 0.9 * height):
        raise GeosetError(
            f"{path}: the centre {K[0, 2]:g}, {K[1, 2]:g} is not near the middle of images of "
            f"{width}x{height}; the matrix seems to belong to another size. Scale it to this one"
        )
    return K[:3, :3]


def camera_from_integer_centres(K: np.ndarray, width: int, height: int) -> Camera:
    """Build a camera from a K whose cx, cy count pixel centres as whole numbers."""
    K = K.copy()
    K[:2, 2] += 0.5
    return Camera(K, width, height)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def check_is_file(path: Path) -> None:
    """Raise an OSError if there is none; whoever opens a pipe, say, waits for it forever."""
    if not S_ISREG(path.stat().st_mode):
        raise OSError("it is no file")


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        OSError: it is missing, no file, or unreadable.
    """
    check_is_file(path)
    return path.read_bytes()


def visible(folder: Path, *endings: str) -> list[Path]:
    """Return what lies in a folder, none if it is missing, and ends so, sorted by name.

    Names that begin with a dot are no data: macOS leaves a `._` file beside each it copies.
    """
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.lower().endswith(endings or ""))
    return sorted((path for path in found if path.name[0] != "."), key=lambda path: path.name)


def files_by_stem(folder: Path, *endings: str) -> dict[str, Path]:
    """Return what `visible` does, by name without the ending."""
    return {path.stem: path for path in visible(folder, *endings)}


def mesh_reader(*candidates: Path) -> Callable[[], TriangleMesh] | None:
    """Return what reads the first of these PLY files that is there, or None."""
    found = next((path for path in candidates if path.is_file()), None)
    return partial(read_ply, found) if found else None


def unreadable(path: Path, error: Exception) -> GeosetError:
    """Say in one line that a file cannot be read, and why."""
    if isinstance(error, FileNotFoundError):
        return GeosetError(f"{path}: file is missing")
    return GeosetError(f"{path}: cannot be read ({error})")


def natural_key(name: str) -> list:
    """Sort key under which frame 2 comes before frame 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


@contextmanager
def _open_image(path: Path) -> Iterator[Image.Image]:
    try:
        check_is_file(path)
        with Image.open(path, formats=FORMATS) as image:
            _check_length(path, image.size)
            yield image
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _check_length(path: Path, size: tuple[int, int]) -> None:
    """Refuse a header that claims more pixels than the file can hold, before they take memory."""
    pixels, length = size[0] * size[1], path.stat().st_size
    if pixels > MOST_PIXELS_A_BYTE * length:
        raise ValueError(f"it claims {size[0]} x {size[1]} pixels in {length} bytes")
