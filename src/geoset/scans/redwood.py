"""Redwood and Open3D: `color/` and `depth/`, a trajectory `.log`, `camera_intrinsic.json`.

A block of the trajectory is a line of three numbers, the third being that of the frame, from 1,
and the four lines of world_from_camera. `scene/integrated.ply`, as Open3D's reconstruction writes
it, or `mesh.ply` is the surface; without it depth is fused.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import (
    IMAGE_SUFFIXES,
    camera_from_integer_centres,
    checked_intrinsics,
    files_by_stem,
    mesh_reader,
    natural_key,
    read_json,
    visible,
)
from geoset.scans.scan import Scan
from geoset.scans.trajectory import is_video, numbers, read_words

LAYOUT = "Redwood / Open3D"
LOOKS_FOR = "color/ (or image/, rgb/), depth/, camera_intrinsic.json, trajectory.log"

COLOR_FOLDERS = ("color", "image", "rgb")
TRAJECTORIES = ("trajectory.log", "scene/trajectory.log")  # first match counts; else any .log
INTRINSICS = ("camera_intrinsic.json", "intrinsic.json")
TIMED = re.compile(r"(\d+)-\d+")  # 0000001-000000033369: number and time of an image
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
    depths = _by_color(path, colors, depths)
    trajectory = _trajectory(path)
    poses, more = _read_poses(trajectory, sorted(colors, key=natural_key), depths)
    files, rejected = [], []
    for name in sorted({*colors, *depths}, key=natural_key):
        if name not in colors:
            rejected.append((name, "no colour file"))
        elif name not in poses:
            rejected.append((name, f"no pose in {trajectory.name}"))
        else:
            depth = depths.get(name, path / "depth" / f"{name}.png")
            files.append(FrameFiles(name, colors[name], depth, poses[name]))
    frames, unusable = assemble_frames(files, *own_cameras(camera))
    return Scan(
        path,
        LAYOUT,
        frames,
        rejected + unusable,
        mesh_reader(path / "scene/integrated.ply", path / "mesh.ply"),
        full_rate=is_video(frames),
        notes=notes + more,
    )


def _color_folder(path: Path) -> Path | None:
    return next((path / name for name in COLOR_FOLDERS if (path / name).is_dir()), None)


def _images(folder: Path) -> dict[str, Path]:
    """Return images by name, or by number alone where all names are a number and a time."""
    images = files_by_stem(folder, *IMAGE_SUFFIXES)
    timed = [TIMED.fullmatch(name) for name in images]
    if not all(timed) or len({found[1] for found in timed}) < len(timed):
        return images
    return {found[1]: images[found[0]] for found in timed}


def _trajectory(path: Path) -> Path | None:
    """Return the first `.log` that begins as a trajectory does: other programs write logs too."""
    for file in (*(path / name for name in TRAJECTORIES), *visible(path, ".log")):
        if file.is_file():
            with file.open("rb") as start:
                words = start.readline(200).split()
            if len(words) == 3 and all(word.isdigit() for word in words):
                return file
    return None


def _by_color(path: Path, colors: dict[str, Path], depths: dict[str, Path]) -> dict[str, Path]:
    """Return depth images by the name of the colour image they go with, the others by their own.

    Raises:
        GeosetError: neither names nor numbers of colour and depth images agree.
    """
    if len(colors.keys() & depths.keys()) > 0.5 * min(len(colors), len(depths)):
        return depths
    if len(colors) != len(depths):
        raise GeosetError(
            f"{path}: {len(colors)} colour and {len(depths)} depth images of other names, expected "
            "the same names, or one depth image for each of colour, in the same order"
        )
    in_order = sorted(colors, key=natural_key), sorted(depths, key=natural_key)
    return {color: depths[depth] for color, depth in zip(*in_order, strict=True)}


def _read_poses(
    path: Path, names: list[str], depths: Iterable[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return world_from_camera by the name of the colour image, and what a user should know.

    names: of colour images, in order; depths: of depth images

    Raises:
        GeosetError: there are more blocks than images, and names do not say which are theirs.
    """
    rows = read_words(path)
    starts = [k for k, words in enumerate(rows) if len(words) == 3]
    blocks = [numbers(rows[k + 1 : k + 5], 4) for k in starts]
    third = numbers([rows[k] for k in starts], 3)[:, 2].tolist()
    of_number = dict(zip(third, blocks, strict=True))
    by_name = _numbers(names, depths, third) if len(of_number) == len(blocks) else {}
    if by_name:
        poses = {name: of_number[number] for name, number in by_name.items() if number in of_number}
        note = (
            f"{path.name} holds {len(blocks)} poses for {len(names)} colour images: they go by "
            f"number, {names[0]} with pose {by_name[names[0]]}"
        )
        return poses, [note] * (len(blocks) > len(names))
    if len(blocks) > len(names):
        raise GeosetError(
            f"{path}: {len(blocks)} poses for {len(names)} colour images, whose names do not say "
            "which are theirs; expected one pose an image, or images named by their number in the "
            "trajectory. Name them so, or remove the poses of other images"
        )
    if set(of_number) <= set(range(1, len(names) + 1)) and len(of_number) == len(blocks):
        return {names[int(number) - 1]: block for number, block in of_number.items()}, []
    return dict(zip(names, blocks, strict=False)), []


def _numbers(names: list[str], depths: Iterable[str], third: list[float]) -> dict[str, int]:
    """Return the number in the trajectory of each image; none where names do not tell it.

    They do where all are numbers within those of the trajectory. Names without gaps, as many as
    poses, may have been given anew, and tell no more than their order.
    """
    if not names or not third or not all(name.isdecimal() for name in names):
        return {}
    own = [int(name) for name in names]
    known = {*own, *(int(name) for name in depths if name.isdecimal())}
    from_one = 0 not in known and (1 in known or max(own) == max(third))  # as Redwood; else Open3D
    own = [number + (not from_one) for number in own]
    renumbered = own[-1] - own[0] + 1 == len(names) == len(third)
    if renumbered or not min(third) <= own[0] <= own[-1] <= max(third):
        return {}
    return dict(zip(names, own, strict=True))


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
