"""ARKitScenes: `lowres_wide/`, `lowres_depth/`, `lowres_wide_intrinsics/`, `lowres_wide.traj`.

They lie in the folder of the video, or in `<video>_frames/` there. Names end in the time, which
says what belongs together; each image has a camera of its own (`.pincam`, which counts from the
image's corner). The mesh is `<video>_3dod_mesh.ply`, or else `mesh.ply`. Frames taken with the
device held sideways or upside down stay as they are.
"""

from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, invert
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import checked_intrinsics, mesh_reader, visible
from geoset.scans.scan import Scan
from geoset.scans.trajectory import (
    is_video,
    nearest_in_time,
    numbers,
    read_words,
    rigid,
    rotation_of_axis_angle,
)

LAYOUT = "ARKitScenes"
LOOKS_FOR = "lowres_wide/, lowres_depth/, lowres_wide_intrinsics/, lowres_wide.traj"

WITHIN = 0.005  # seconds between what belongs together, as in the code that comes with the data


def matches(path: Path) -> bool:
    """Tell whether `path` holds a video's colour images and trajectory."""
    return _frames_folder(path) is not None


def read(path: Path) -> Scan:
    """Read a video.

    Raises:
        GeosetError: the trajectory is unreadable.
    """
    folder = _frames_folder(path)
    colors, times = _in_order_of_time(folder / "lowres_wide", ".png")
    parts = {
        "pose": _poses(folder / "lowres_wide.traj", times),
        "camera": _nearest_files(folder / "lowres_wide_intrinsics", ".pincam", times),
    }
    if (folder / "lowres_depth").is_dir():
        parts["depth"] = _nearest_files(folder / "lowres_depth", ".png", times)
    files, rejected = [], []
    for k, color in enumerate(colors):
        found = {kind: candidates[k] for kind, candidates in parts.items()}
        missing = next((kind for kind, part in found.items() if part is None), None)
        if missing:
            rejected.append((color.stem, f"no {missing} within {WITHIN} s"))
            continue
        try:
            cameras = own_cameras(_read_camera(found["camera"]))
        except GeosetError:
            rejected.append((color.stem, "unreadable camera file"))
            continue
        depth = found.get("depth")
        files.append(FrameFiles(color.stem, color, depth, found["pose"], cameras=cameras))
    frames, unusable = assemble_frames(files)
    return Scan(
        path,
        LAYOUT,
        frames,
        rejected + unusable,
        mesh_reader(*visible(path, "_3dod_mesh.ply"), path / "mesh.ply"),
        full_rate=is_video(frames, {p.stem: time for p, time in zip(colors, times, strict=True)}),
    )


def _frames_folder(path: Path) -> Path | None:
    for folder in (path, *visible(path, "_frames")):
        if (folder / "lowres_wide.traj").is_file() and (folder / "lowres_wide").is_dir():
            return folder
    return None


def _in_order_of_time(folder: Path, suffix: str) -> tuple[list[Path], np.ndarray]:
    """Return the files of a folder, none if it is missing, and their times (N,)."""
    files = visible(folder, suffix)
    times = numbers([[file.stem.rpartition("_")[2]] for file in files], 1)[:, 0]
    order = np.argsort(times, kind="stable")
    return [files[k] for k in order], times[order]


def _nearest_files(folder: Path, suffix: str, wanted: np.ndarray) -> list[Path | None]:
    files, times = _in_order_of_time(folder, suffix)
    return [files[k] if k >= 0 else None for k in nearest_in_time(times, wanted, WITHIN)]


def _poses(path: Path, wanted: np.ndarray) -> list[np.ndarray | None]:
    """Return world_from_camera nearest to each wanted time; the file holds its inverse."""
    rows = numbers(read_words(path), 7)
    camera_from_world = rigid(rotation_of_axis_angle(rows[:, 1:4]), rows[:, 4:])
    nearest = nearest_in_time(rows[:, 0], wanted, WITHIN)
    with np.errstate(invalid="ignore", over="ignore"):  # such poses are rejected later
        return [invert(camera_from_world[k]) if k >= 0 else None for k in nearest]


def _read_camera(path: Path) -> Camera:
    """Read one line `width height fx fy cx cy`."""
    first = read_words(path)[:1] or [[]]
    width, height, fx, fy, cx, cy = numbers(first, 6)[0]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return Camera(checked_intrinsics(path, K, width, height), int(width), int(height))
