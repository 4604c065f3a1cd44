"""What all file-per-frame readers share: checking each frame, keeping the good ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, nearest_rigid, why_not_rigid
from geoset.scans.decode import image_size, read_color, read_depth, read_integers, read_matrix
from geoset.scans.scan import Frame


@dataclass(frozen=True)
class FrameFiles:
    """Where the parts of one frame lie; `depth` is None in a scan without depth images."""

    name: str
    color: Path
    depth: Path | None
    pose: Path
    labels: dict[str, Path] = field(default_factory=dict)


# (width, height) of an image -> its camera
CameraOf = Callable[[int, int], Camera]


def assemble_frames(
    files: list[FrameFiles], color_camera: CameraOf, depth_camera: CameraOf
) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Build frames from files; return the usable ones, and (name, reason) of the others.

    One set of intrinsics serves one image size, so frames whose sizes differ from those of the
    first usable frame are rejected.
    """
    frames: list[Frame] = []
    rejected: list[tuple[str, str]] = []
    expected_sizes = None
    for entry in files:
        missing = _missing_file(entry)
        if missing:
            rejected.append((entry.name, missing))
            continue
        try:
            pose = read_matrix(entry.pose)
            color_size = image_size(entry.color)
            depth_size = image_size(entry.depth) if entry.depth else color_size
        except GeosetError:
            rejected.append((entry.name, "unreadable file"))
            continue
        expected_sizes = expected_sizes or (color_size, depth_size)
        reason = why_not_rigid(pose)
        if reason is None and (color_size, depth_size) != expected_sizes:
            reason = "image size differs from the first frame's"
        if reason:
            rejected.append((entry.name, reason))
            continue
        frames.append(
            Frame(
                name=entry.name,
                camera=color_camera(*color_size),
                world_from_camera=nearest_rigid(pose),
                read_image=partial(read_color, entry.color),
                read_depth=partial(read_depth, entry.depth) if entry.depth else None,
                depth_camera=depth_camera(*depth_size),
                read_labels={
                    layer: partial(read_integers, path) for layer, path in entry.labels.items()
                },
            )
        )
    return frames, rejected


def _missing_file(entry: FrameFiles) -> str | None:
    for kind in ("color", "depth", "pose"):
        path = getattr(entry, kind)
        if path is not None and not path.is_file():
            return f"no {kind} file"
    return None
