"""7-Scenes: `[seq-XX/]frame-000000.{color.png|jpg, depth.png, pose.txt}`.

A `mesh.ply` is the surface; without it depth is fused.
"""

from functools import partial
from pathlib import Path

import numpy as np

from geoset.geometry.camera import Camera
from geoset.scans.assemble import FrameFiles, assemble_frames
from geoset.scans.decode import (
    camera_from_integer_centres,
    mesh_reader,
    natural_key,
    read_intrinsics,
)
from geoset.scans.scan import Scan
from geoset.scans.trajectory import is_video

LAYOUT = "7-Scenes"
LOOKS_FOR = "[seq-XX/]frame-000000.color.png (or .jpg), .depth.png, .pose.txt"

# Published for 640x480; smaller copies scale it. A camera-intrinsics.txt takes precedence.
PUBLISHED_K = np.array([[585.0, 0.0, 320.0], [0.0, 585.0, 240.0], [0.0, 0.0, 1.0]])


def matches(path: Path) -> bool:
    """Tell whether `path` looks like a 7-Scenes scene or sequence."""
    patterns = ("frame-*.pose.txt", "seq-*/frame-*.pose.txt")
    return any(next(path.glob(pattern), None) is not None for pattern in patterns)


def read(path: Path) -> Scan:
    """Read a scene (all its sequences) or one sequence."""
    poses = [*path.glob("frame-*"), *path.glob("seq-*/frame-*")]
    stems = {(p.parent, p.name.split(".")[0]) for p in poses}
    files = []
    for folder, stem in stems:
        jpeg = folder / f"{stem}.color.jpg"
        color = jpeg if jpeg.is_file() else folder / f"{stem}.color.png"
        depth, pose = folder / f"{stem}.depth.png", folder / f"{stem}.pose.txt"
        name = (folder / stem).relative_to(path).as_posix()
        files.append(FrameFiles(name, color, depth, pose))
    files.sort(key=lambda entry: natural_key(entry.name))
    beside = (folder / "camera-intrinsics.txt" for folder in (path, path.resolve().parent))
    intrinsics = next((file for file in beside if file.is_file()), None)
    camera = partial(read_intrinsics, intrinsics) if intrinsics else _published_camera
    frames, rejected = assemble_frames(files, camera, camera)
    mesh = mesh_reader(path / "mesh.ply")
    return Scan(path, LAYOUT, frames, rejected, mesh, full_rate=is_video(frames))


def _published_camera(width: int, height: int) -> Camera:
    return camera_from_integer_centres(PUBLISHED_K, 640, 480).resized(height, width)
