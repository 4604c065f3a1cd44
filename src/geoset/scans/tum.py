"""TUM RGB-D: `rgb.txt`, `depth.txt` and `groundtruth.txt` list times; images lie where these say.

A colour image goes with the depth image and the pose nearest in time. Intrinsics are those
published for the Kinect that the folder's name tells (freiburg1, fr2, ...), for 640x480; those in
an `intrinsics.txt` take precedence. A `mesh.ply` is the surface; without it depth is fused.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.scans.assemble import CameraOf, FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import camera_from_integer_centres, mesh_reader, read_intrinsics
from geoset.scans.scan import Scan
from geoset.scans.trajectory import (
    is_video,
    nearest_in_time,
    numbers,
    read_words,
    rigid,
    rotation_of_quaternion,
)

LAYOUT = "TUM RGB-D"
LOOKS_FOR = "rgb.txt, depth.txt, groundtruth.txt, and the images that these name"

WITHIN = 0.02  # seconds between what belongs together
UNITS_PER_METRE = 5000.0
PUBLISHED = {  # fx, fy, cx, cy by Kinect
    "1": (517.3, 516.5, 318.6, 255.3),
    "2": (520.9, 521.0, 325.1, 249.7),
    "3": (535.4, 539.2, 320.1, 247.6),
}
DISTORTED = "the lens distortion of freiburg{} is not undone, as its authors advise"


def matches(path: Path) -> bool:
    """Tell whether `path` holds the lists of colour images and of poses."""
    return (path / "rgb.txt").is_file() and (path / "groundtruth.txt").is_file()


def read(path: Path) -> Scan:
    """Read a sequence.

    Raises:
        GeosetError: a list is unreadable, or there are no intrinsics.
    """
    cameras, notes = _cameras(path)
    colors, times = _read_list(path / "rgb.txt")
    poses = _poses(path / "groundtruth.txt", times)
    has_depth = (path / "depth.txt").is_file()
    depths = _depths(path / "depth.txt", times) if has_depth else [None] * len(times)
    files, rejected = [], []
    for color, pose, depth in zip(colors, poses, depths, strict=True):
        name = Path(color).stem
        if pose is None:
            rejected.append((name, f"no pose within {WITHIN} s"))
        elif has_depth and depth is None:
            rejected.append((name, f"no depth within {WITHIN} s"))
        else:
            files.append(FrameFiles(name, path / color, depth and path / depth, pose))
    frames, unusable = assemble_frames(files, *cameras, UNITS_PER_METRE)
    return Scan(
        path,
        LAYOUT,
        frames,
        rejected + unusable,
        mesh_reader(path / "mesh.ply"),
        full_rate=is_video(frames, dict(zip((Path(c).stem for c in colors), times, strict=True))),
        notes=notes,
    )


def _read_list(path: Path) -> tuple[list[str], np.ndarray]:
    """Return files, each once, and their times, in order of time."""
    rows = [words for words in read_words(path) if len(words) == 2]
    times = numbers([words[:1] for words in rows], 1)[:, 0]
    listed = {file: time for (_, file), time in zip(rows, times, strict=True) if time == time}
    files = sorted(listed, key=listed.get)
    return files, np.array([listed[file] for file in files])


def _poses(path: Path, times: np.ndarray) -> list[np.ndarray | None]:
    rows = numbers(read_words(path), 8)
    poses = rigid(rotation_of_quaternion(rows[:, 4:]), rows[:, 1:4])
    return [poses[k] if k >= 0 else None for k in nearest_in_time(rows[:, 0], times, WITHIN)]


def _depths(path: Path, times: np.ndarray) -> list[str | None]:
    files, taken = _read_list(path)
    return [files[k] if k >= 0 else None for k in nearest_in_time(taken, times, WITHIN)]


def _cameras(path: Path) -> tuple[tuple[CameraOf, CameraOf], list[str]]:
    """Return the intrinsics of colour and depth, and what a user should know of them."""
    intrinsics = path / "intrinsics.txt"
    if intrinsics.is_file():
        return (partial(read_intrinsics, intrinsics),) * 2, []
    kinect = re.search(r"(?:freiburg|fr)([123])(?!\d)", path.resolve().name)
    if kinect is None:
        raise GeosetError(
            f"{path}: which Kinect took it is not in the folder's name (freiburg1, fr2, ...), and "
            "there is no intrinsics.txt; write one, the 3x3 camera matrix, one row a line"
        )
    number = kinect[1]
    fx, fy, cx, cy = PUBLISHED[number]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    published = camera_from_integer_centres(K, 640, 480)
    notes = [] if number == "3" else [DISTORTED.format(number)]
    return own_cameras(published), notes
