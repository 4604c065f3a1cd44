"""What all file-per-frame readers share: checking each frame, keeping the good ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, nearest_rigid, why_not_rigid
from geoset.scans.decode import (
    image_size,
    read_color,
    read_depth,
    read_integers,
    read_mask,
    read_matrix,
)
from geoset.scans.distortion import PINHOLE, Distortion, undistort_frame
from geoset.scans.scan import Frame, FrameError

# (width, height) of an image -> its camera
CameraOf = Callable[[int, int], Camera]


@dataclass(frozen=True)
class FrameFiles:
    """Where the parts of one frame lie.

    depth: None in a scan without depth images
    pose: a file of the matrix, or the matrix itself: world_from_camera
    mask: an image, not black where pixels must not be used; or None
    masked_is_black: the mask says the opposite: black where pixels must not be used
    cameras: of colour and of depth, where the frame has its own
    distortion: of the lens that took both; it is undone as they are read
    """

    name: str
    color: Path
    depth: Path | None
    pose: Path | np.ndarray
    labels: dict[str, Path] = field(default_factory=dict)
    mask: Path | None = None
    masked_is_black: bool = False
    cameras: tuple[CameraOf, CameraOf] | None = None
    distortion: Distortion = PINHOLE


def assemble_frames(
    files: list[FrameFiles],
    color_camera: CameraOf | None = None,
    depth_camera: CameraOf | None = None,
    units_per_metre: float = 1000.0,
) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Build frames from files; return the usable ones, and (name, reason) of the others.

    Intrinsics that all frames share serve one image size, so frames of another than most usable
    ones have are rejected; frames with cameras of their own may be of any size that these take:
    what they refuse with a FrameError is rejected.

    units_per_metre: of the numbers in depth images
    """
    frames: list[Frame] = []
    rejected: list[tuple[str, str]] = []
    shared = color_camera and cache(color_camera), depth_camera and cache(depth_camera)
    examined = _examine_all(files)
    counts = Counter(
        _sizes(found)
        for entry, found, reason in examined
        if reason is None and entry.cameras is None
    )
    usual = max(counts, key=counts.__getitem__, default=None)  # of as many: the first
    for entry, found, reason in examined:
        if reason is None and entry.cameras is None and _sizes(found) != usual:
            reason = "image size differs from most frames'"
        if reason:
            rejected.append((entry.name, reason))
            continue
        try:
            frames.append(_frame(entry, found, entry.cameras or shared, units_per_metre))
        except FrameError as error:
            rejected.append((entry.name, error.reason))
    return frames, rejected


def _frame(
    entry: FrameFiles,
    found: dict,
    cameras: tuple[CameraOf, CameraOf],
    units_per_metre: float,
) -> Frame:
    """Build the frame of files that have been examined."""
    of_color, of_depth = cameras
    frame = Frame(
        name=entry.name,
        camera=of_color(*found["colour"]),
        world_from_camera=nearest_rigid(found["pose"]),
        read_image=partial(read_color, entry.color),
        read_depth=partial(read_depth, entry.depth, units_per_metre) if entry.depth else None,
        depth_camera=of_depth(*found.get("depth", found["colour"])),
        read_labels={layer: partial(read_integers, path) for layer, path in entry.labels.items()},
        read_mask=entry.mask and partial(read_mask, entry.mask, entry.masked_is_black),
    )
    return undistort_frame(frame, entry.distortion)


def own_cameras(camera: Camera) -> tuple[CameraOf, CameraOf]:
    """Return the cameras of colour and depth images that show what `camera` sees, of any size."""
    return partial(_same_view, camera), partial(_same_view, camera)


def _same_view(camera: Camera, width: int, height: int) -> Camera:
    """Return `camera` for images of another size.

    Raises:
        FrameError: they are of another shape, so that they cannot show the same view.
    """
    if abs(width * camera.height / camera.width - height) > 1:
        raise FrameError(
            f"image is {width}x{height}, expected the shape of {camera.width}x{camera.height}",
            "image of another shape than its camera",
        )
    return camera.resized(height, width)


def _examine_all(files: list[FrameFiles]) -> list[tuple[FrameFiles, dict, str | None]]:
    """Return the files of each frame, what `_examine` says of them; a name may come only once."""
    examined, names = [], set()
    for entry in files:
        found, reason = _examine(entry)
        if entry.name in names:
            reason = "second frame of its name"
        names.add(entry.name)
        examined.append((entry, found, reason))
    return examined


def _sizes(found: dict) -> tuple:
    """Return (width, height) of colour and of depth images."""
    return found["colour"], found.get("depth", found["colour"])


def _examine(entry: FrameFiles) -> tuple[dict, str | None]:
    """Return a frame's image sizes and pose by kind, and why it is unusable, if it is."""
    found = {}
    for kind, path, read in (
        ("colour", entry.color, image_size),
        ("depth", entry.depth, image_size),
        ("pose", entry.pose, read_matrix),
    ):
        if path is None:
            continue
        if isinstance(path, np.ndarray):
            found[kind] = path
            continue
        try:
            if not path.is_file():
                return found, f"no {kind} file"
            found[kind] = read(path)
        except (GeosetError, OSError):  # a name that is too long is an OSError
            return found, f"unreadable {kind} file"
    return found, why_not_rigid(found["pose"])
