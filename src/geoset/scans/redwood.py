"""Redwood and Open3D: `color/` and `depth/`, a trajectory `.log`, `camera_intrinsic.json`.

A block of the trajectory is a line of three numbers, the third being that of the frame, from 1,
and the four lines of world_from_camera. `scene/integrated.ply`, as Open3D's reconstruction writes
it, or `mesh.ply` is the surface; without it depth is fused.
"""

from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import (
    camera_from_integer_centres,
    checked_intrinsics,
    mesh_reader,
    natural_key,
    read_json,
)
from geoset.scans.scan import Scan
from geoset.scans.trajectory import is_gapless, numbers, read_words

LAYOUT = "Redwood / Open3D"
LOOKS_FOR = "color/ (or image/, rgb/), depth/, camera_intrinsic.json, trajectory.log"

COLOR_FOLDERS = ("color", "image", "rgb")
TRAJECTORIES = ("trajectory.log", "scene/trajectory.log", "*.log")  # first match counts
INTRINSICS = ("camera_intrinsic.json", "intrinsic.json")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
PRIMESENSE = Camera(np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]]), 640, 480)


def matches(path: Path) -> bool:
    """Tell whether `path` holds colour, depth and a trajectory."""
    color = _color_folder(path)
    return color is not None and (path / "depth").is_dir() and _trajectory(path) is not None


def read(path: Path) -> Scan:
    """Read a scan of this layout.

    Raises:
        GeosetError: trajectory or intrinsics are unreadable, or images do not go with each other.
    """
    camera, notes = _read_camera(path)
    colors, depths = _images(_color_folder(path)), _images(path / "depth")
    names, partner = _match(path, colors, depths)
    trajectory = _trajectory(path)
    poses = _read_poses(trajectory, len(names))
    files, rejected = [], []
    for number, name in enumerate(names):
        color = colors.get(name, _color_folder(path) / f"{name}.jpg")
        depth = depths.get(partner.get(name, name), path / "depth" / f"{name}.png")
        if number in poses:
            files.append(FrameFiles(name, color, depth, poses[number]))
        else:
            rejected.append((name, f"no pose in {trajectory.name}"))
    frames, unusable = assemble_frames(files, *own_cameras(camera))
    return Scan(
        path,
        LAYOUT,
        frames,
        rejected + unusable,
        mesh_reader(path / "scene/integrated.ply", path / "mesh.ply"),
        full_rate=is_gapless(name for name in names if name.isdecimal()),
        notes=notes,
    )


def _color_folder(path: Path) -> Path | None:
    return next((path / name for name in COLOR_FOLDERS if (path / name).is_dir()), None)


def _images(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}


def _trajectory(path: Path) -> Path | None:
    """Return the first `.log` that begins as a trajectory does: other programs write logs too."""
    for pattern in TRAJECTORIES:
        for file in sorted(path.glob(pattern)):
            if file.is_file():
                with file.open("rb") as start:
                    words = start.readline(200).split()
                if len(words) == 3 and all(word.isdigit() for word in words):
                    return file
    return None


def _match(
    path: Path, colors: dict[str, Path], depths: dict[str, Path]
) -> tuple[list[str], dict[str, str]]:
    """Return frames in order, and by name the depth image of those where it is named otherwise.

    Raises:
        GeosetError: neither names nor numbers of colour and depth images agree.
    """
    in_order = sorted(colors, key=natural_key), sorted(depths, key=natural_key)
    if colors.keys() & depths.keys():
        return sorted({*colors, *depths}, key=natural_key), {}
    if len(colors) != len(depths):
        raise GeosetError(
            f"{path}: {len(colors)} colour and {len(depths)} depth images of other names, expected "
            "the same names, or one depth image for each of colour, in the same order"
        )
    return in_order[0], dict(zip(*in_order, strict=True))


def _read_poses(path: Path, frames: int) -> dict[int, np.ndarray]:
    """Return world_from_camera by the number of the frame, from 0."""
    rows = read_words(path)
    starts = [k for k, words in enumerate(rows) if len(words) == 3]
    blocks = [numbers(rows[k + 1 : k + 5], 4) for k in starts]
    third = numbers([rows[k] for k in starts], 3)[:, 2] - 1
    numbered = len(set(third)) == len(third) and np.isin(third, np.arange(frames)).all()
    places = third.astype(int) if numbered else range(len(blocks))
    return dict(zip(map(int, places), blocks, strict=True))


def _read_camera(path: Path) -> tuple[Camera, list[str]]:
    """Return the camera, and what a user should know of it."""
    file = next((path / name for name in INTRINSICS if (path / name).is_file()), None)
    if file is None:
        note = "no camera_intrinsic.json: PrimeSense's f 525, centre 319.5 239.5 are taken"
        return PRIMESENSE, [note]
    content = read_json(file)
    try:
        width, height = int(float(content["width"])), int(float(content["height"]))
        K = np.array(content["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise GeosetError(
            f"{file}: expected width, height and intrinsic_matrix, nine numbers, column by column; "
            "Open3D writes it (write_pinhole_camera_intrinsic)"
        ) from error
    K = checked_intrinsics(file, K, width, height)
    return camera_from_integer_centres(K, width, height), []
