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
    first_sizes = None
    for entry in files:
        found, reason = _examine(entry)
        if reason is None:
            color_size = found["colour"]
            depth_size = found.get("depth", color_size)
            first_sizes = first_sizes or (color_size, depth_size)
            if (color_size, depth_size) != first_sizes:
                reason = "image size differs from the first frame's"
        if reason:
            rejected.append((entry.name, reason))
            continue
        frames.append(
            Frame(
                name=entry.name,
                camera=color_camera(*color_size),
                world_from_camera=nearest_rigid(found["pose"]),
                read_image=partial(read_color, entry.color),
                read_depth=partial(read_depth, entry.depth) if entry.depth else None,
                depth_camera=depth_camera(*depth_size),
                read_labels={
                    layer: partial(read_integers, path) for layer, path in entry.labels.items()
                },
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
        if not path.is_file():
            return found, f"no {kind} file"
        try:
            found[kind] = read(path)
        except GeosetError:
            return found, f"unreadable {kind} file"
    return found, why_not_rigid(found["pose"])
