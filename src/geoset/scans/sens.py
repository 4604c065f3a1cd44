"""ScanNet's `.sens` files, version 4: the frames of a video and their poses in one file.

The file is mapped while its frame headers are read, once; no pixel is touched. Later each frame
reads its own bytes when asked: nothing stays open, frames can go to other processes, and a scan
takes the memory of a frame, however long its file.

Colour and depth each have their intrinsics, those of integer pixel centres; the extrinsics between
them are not applied, as in ScanNet's own tools.
"""

import mmap
import struct
import zlib
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, nearest_rigid, why_each_is_not_rigid
from geoset.scans.decode import (
    NO_DEPTH,
    UNREADABLE,
    camera_from_integer_centres,
    checked_intrinsics,
    unreadable,
)
from geoset.scans.scan import Frame

VERSION = 4
RAW, PNG, JPEG = 0, 1, 2  # of colour
ZLIB, OCCI = 1, 2  # of depth, which may be RAW too
LARGEST_IMAGE = 2**25  # pixels; what claims more is damaged
MOST_FRAMES = 10**6  # nine hours of video
MOST_UNITS = 10**6  # of depth a metre
CUT_OFF = "the file ends before the frame does"

_START = struct.Struct("<IQ")  # version, length of the sensor's name
_HEADER = struct.Struct("<64f2i4IfQ")  # four matrices, codecs, sizes, depth shift, frames
_FRAME = struct.Struct("<16f4Q")  # pose, two times, bytes of colour and of depth


class _Header(NamedTuple):
    color_camera: Camera
    depth_camera: Camera
    color_codec: int
    depth_codec: int
    units_per_metre: float
    frames: int  # as claimed
    size: int


class _Payload(NamedTuple):
    """Some bytes of a file."""

    path: Path
    start: int
    size: int

    def read(self, most: int) -> bytes:
        if not 0 < self.size <= most:
            raise GeosetError(f"{self.path}: an image has {self.size} bytes, expected 1 to {most}")
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                return file.read(self.size)
        except OSError as error:
            raise unreadable(self.path, error) from error


class _Entry(NamedTuple):
    pose: tuple[float, ...]
    color: _Payload
    depth: _Payload


def read_sens(path: Path) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Return the usable frames, named by their number, and (name, reason) of the others.

    Of a file that is cut off, the frames before the cut are usable.

    Raises:
        GeosetError: the file cannot be read, is no .sens file of version 4, is cut off within its
            header, or its header says what cannot be, or what is not supported.
    """
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if hasattr(mmap, "MADV_RANDOM"):  # else each header drags in pixels behind it
                content.madvise(mmap.MADV_RANDOM)
            header = _read_header(path, content)
            entries = _index(path, content, header)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise unreadable(path, error) from error
    frames, rejected = _assemble(header, entries)
    missing = range(len(entries), header.frames)
    return frames, rejected + [(_name(k), CUT_OFF) for k in missing]


def _read_header(path: Path, content: mmap.mmap) -> _Header:
    """Read and check everything before the first frame."""
    version, name_length = _unpack(path, content, _START, 0)
    if version != VERSION:
        raise GeosetError(
            f"{path}: is of version {version}, expected a .sens file of version {VERSION}; record "
            "or export it anew in this version"
        )
    start = _START.size + name_length
    *values, shift, frames = _unpack(path, content, _HEADER, start)
    color_K, _, depth_K, _ = np.reshape(values[:64], (4, 4, 4)).astype(np.float64)
    color_codec, depth_codec, *sizes = values[64:]
    color_size, depth_size = sizes[:2], sizes[2:]
    _check_codecs(path, color_codec, depth_codec)
    if not 1 <= shift <= MOST_UNITS or frames > MOST_FRAMES:
        raise GeosetError(
            f"{path}: its header is damaged: {shift:g} units of depth a metre and {frames} frames, "
            f"expected 1 to {MOST_UNITS} (1000 are usual) and at most {MOST_FRAMES}. Copy the file "
            "again"
        )
    return _Header(
        _camera(path, color_K, *color_size),
        _camera(path, depth_K, *depth_size),
        color_codec,
        depth_codec,
        shift,
        frames,
        start + _HEADER.size,
    )


def _unpack(path: Path, content: mmap.mmap, layout: struct.Struct, start: int) -> tuple:
    if start + layout.size > len(content):
        raise GeosetError(
            f"{path}: is cut off within its header: it has {len(content)} bytes, expected at least "
            f"{start + layout.size}. Copy the file again"
        )
    return layout.unpack_from(content, start)


def _check_codecs(path: Path, color: int, depth: int) -> None:
    if color not in (RAW, PNG, JPEG):
        raise GeosetError(
            f"{path}: colour compression is {color}, expected 0 (raw), 1 (png) or 2 (jpeg)"
        )
    if depth not in (RAW, ZLIB):
        name = " (occi)" if depth == OCCI else ""
        raise GeosetError(
            f"{path}: depth compression is {depth}{name}, expected 0 (raw) or 1 (zlib). Export the "
            "scan to color/, depth/, pose/ and intrinsic/ with the program that recorded it"
        )


def _camera(path: Path, K: np.ndarray, width: int, height: int) -> Camera:
    if not 0 < width * height <= LARGEST_IMAGE:
        raise GeosetError(
            f"{path}: its header is damaged: images of {width}x{height}, expected 1 to "
            f"{LARGEST_IMAGE} pixels. Copy the file again"
        )
    return camera_from_integer_centres(checked_intrinsics(path, K, width, height), width, height)


def _index(path: Path, content: mmap.mmap, header: _Header) -> list[_Entry]:
    """Find the frames that lie in the file as a whole."""
    entries, start = [], header.size
    while len(entries) < header.frames and start + _FRAME.size <= len(content):
        *pose, _, _, color_size, depth_size = _FRAME.unpack_from(content, start)
        color = _Payload(path, start + _FRAME.size, color_size)
        depth = _Payload(path, color.start + color_size, depth_size)
        start = depth.start + depth_size
        if start > len(content):
            break
        entries.append(_Entry(pose, color, depth))
    return entries


def _assemble(header: _Header, entries: list[_Entry]) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Build the frames that have a pose."""
    matrices = np.array([entry.pose for entry in entries], np.float64).reshape(-1, 4, 4)
    reasons = why_each_is_not_rigid(matrices)
    posed = [k for k, reason in enumerate(reasons) if reason is None]
    frames = [
        Frame(
            name=_name(k),
            camera=header.color_camera,
            world_from_camera=pose,
            read_image=partial(
                _read_color, entries[k].color, header.color_codec, header.color_camera
            ),
            read_depth=partial(_read_depth, entries[k].depth, header),
            depth_camera=header.depth_camera,
        )
        for k, pose in zip(posed, nearest_rigid(matrices[posed]), strict=True)
    ]
    return frames, [(_name(k), reason) for k, reason in enumerate(reasons) if reason]


def _name(number: int) -> str:
    return f"{number:06d}"


def _read_color(payload: _Payload, codec: int, camera: Camera) -> np.ndarray:
    """Decode a colour image, (H,W,3) uint8."""
    raw_size = camera.height * camera.width * 3
    data = payload.read(most=2 * raw_size + 65536)  # what cannot be compressed grows a little
    if codec == RAW:
        return _as_image(payload.path, data, "u1", (camera.height, camera.width, 3))
    try:
        return (_decode_jpeg if codec == JPEG else _decode_png)(data, camera)
    except UNREADABLE as error:
        raise unreadable(payload.path, error) from error


def _decode_jpeg(data: bytes, camera: Camera) -> np.ndarray:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    _check_size(width, height, camera)
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def _decode_png(data: bytes, camera: Camera) -> np.ndarray:
    with Image.open(BytesIO(data), formats=("PNG",)) as image:
        _check_size(*image.size, camera)
        return np.asarray(image.convert("RGB"))


def _check_size(width: int, height: int, camera: Camera) -> None:
    """Refuse an image of another size before it takes memory."""
    if (width, height) != (camera.width, camera.height):
        raise ValueError(
            f"an image is {width}x{height}, expected {camera.width}x{camera.height} as the "
            "file's header says"
        )


def _read_depth(payload: _Payload, header: _Header) -> np.ndarray:
    """Decode a depth image, (h,w) float32 metres."""
    shape = header.depth_camera.height, header.depth_camera.width
    size = 2 * shape[0] * shape[1]
    data = payload.read(most=2 * size + 65536)
    if header.depth_codec == ZLIB:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(data, max_length=size + 1)
        except zlib.error as error:
            raise unreadable(payload.path, error) from error
        if len(data) == size and not stream.eof:
            raise GeosetError(f"{payload.path}: depth is not whole")
    raw = _as_image(payload.path, data, "<u2", shape)
    depth = raw.astype(np.float32) / np.float32(header.units_per_metre)
    depth[raw == NO_DEPTH] = 0
    return depth


def _as_image(path: Path, data: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    expected = np.dtype(kind).itemsize * np.prod(shape)
    if len(data) != expected:
        raise GeosetError(f"{path}: an image has {len(data)} bytes, expected {expected}")
    return np.frombuffer(data, kind).reshape(shape)
