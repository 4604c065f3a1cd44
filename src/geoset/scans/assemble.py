"""What all file-per-frame readers share: checking each frame, keeping the good ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
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
from geoset.scans.scan import Frame

# (width, height) of an image -> its camera
CameraOf = Callable[[int, int], Camera]


@dataclass(frozen=True)
class FrameFiles:
    """Where the parts of one frame lie.

    depth: None in a scan without depth images
    pose: a file of the matrix, or the matrix itself: world_from_camera
    mask: an image, not black where pixels must not be used; or None
    cameras: of colour and of depth, where the frame has its own
    """

    name: str
    color: Path
    depth: Path | None
    pose: Path | np.ndarray
    labels: dict[str, Path] = field(default_factory=dict)
    mask: Path | None = None
    cameras: tuple[CameraOf, CameraOf] | None = None


def assemble_frames(
    files: list[FrameFiles],
    color_camera: CameraOf | None = None,
    depth_camera: CameraOf | None = None,
    units_per_metre: float = 1000.0,
) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Build frames from files; return the usable ones, and (name, reason) of the others.

    Intrinsics that all frames share serve one image size, so frames whose sizes differ from those
    of the first usable frame are rejected; frames with cameras of their own may be of any size.

    units_per_metre: of the numbers in depth images
    """
    frames: list[Frame] = []
    rejected: list[tuple[str, str]] = []
    first_sizes = None
    for entry in files:
        found, reason = _examine(entry)
        if reason is None and entry.cameras is None:
            sizes = (found["colour"], found.get("depth", found["colour"]))
            first_sizes = first_sizes or sizes
            if sizes != first_sizes:
                reason = "image size differs from the first frame's"
        if reason:
            rejected.append((entry.name, reason))
            continue
        of_color, of_depth = entry.cameras or (color_camera, depth_camera)
        frames.append(
            Frame(
                name=entry.name,
                camera=of_color(*found["colour"]),
                world_from_camera=nearest_rigid(found["pose"]),
                read_image=partial(read_color, entry.color),
                read_depth=partial(read_depth, entry.depth, units_per_metre)
                if entry.depth
                else None,
                depth_camera=of_depth(*found.get("depth", found["colour"])),
                read_labels={
                    layer: partial(read_integers, path) for layer, path in entry.labels.items()
                },
                read_mask=partial(read_mask, entry.mask) if entry.mask else None,
            )
        )
    return frames, rejected


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
        if not path.is_file():
            return found, f"no {kind} file"
        try:
            found[kind] = read(path)
        except GeosetError:
            return found, f"unreadable {kind} file"
    return found, why_not_rigid(found["pose"])
