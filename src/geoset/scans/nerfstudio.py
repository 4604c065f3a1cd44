"""nerfstudio's `transforms.json`, which its tools also make of Polycam and Record3D captures.

Poses are world_from_camera in OpenGL axes, intrinsics stand at the top or in each frame. A mask is
black where pixels must not be used.
"""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import mesh_reader, natural_key, read_json
from geoset.scans.distortion import Lens, make_lens
from geoset.scans.scan import FrameError, Scan

LAYOUT = "nerfstudio"
LOOKS_FOR = "transforms.json, and the images that it names"

PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
RADIAL, TANGENTIAL = ("k1", "k2", "k3", "k4"), ("p1", "p2")
LONGEST_HEADER = 65536  # bytes of a PLY file
UNSURE_SCALE = (
    "poses of nerfstudio need not be metric: they are taken as metres, and depth images as "
    "millimetres; where the two disagree, residuals are large"
)
UNDISTORTED = "lens distortion is undone as images are read"


def matches(path: Path) -> bool:
    """Tell whether `path` holds a transforms.json."""
    return (path / "transforms.json").is_file()


def read(path: Path) -> Scan:
    """Read a scan of this layout.

    Raises:
        GeosetError: transforms.json is unreadable, lists no frames, or its camera is no pinhole.
    """
    file = path / "transforms.json"
    shared = read_json(file)
    if not isinstance(shared, dict) or not isinstance(shared.get("frames"), list):
        raise GeosetError(f'{file}: expected an object with a list "frames"; export it anew')
    entries = [entry if isinstance(entry, dict) else {} for entry in shared.pop("frames")]
    check_model(shared, file)
    has_depth = any("depth_file_path" in entry for entry in entries)
    files, rejected = [], []
    for index, entry in enumerate(entries):
        name = _name(entry, index)
        try:
            files.append(_frame_files(path, name, {**shared, **entry}, has_depth))
        except FrameError as error:
            rejected.append((name, error.reason))
    frames, unusable = assemble_frames(files)
    frames.sort(key=lambda frame: natural_key(frame.name))
    notes = [UNSURE_SCALE] + [UNDISTORTED] * any(entry.distortion for entry in files)
    return Scan(path, LAYOUT, frames, rejected + unusable, _mesh(path, shared), notes=notes)


def check_model(camera: dict[str, Any], file: Path) -> None:
    """Refuse what is no pinhole with a lens.

    Raises:
        FrameError: it has another model.
    """
    model = camera.get("camera_model", "PINHOLE")
    if model in PINHOLE_MODELS and camera.get("is_fisheye"):  # instant-ngp names no model
        model = "fisheye (is_fisheye)"
    if model not in PINHOLE_MODELS:
        raise FrameError(
            f"{file}: camera model {model} is not read, only {', '.join(PINHOLE_MODELS)}; "
            "undistort the images to a pinhole first (COLMAP's image_undistorter does it)",
            f"camera model {str(model)[:30]}",
        )


def lens_of(camera: dict[str, Any], file: Path) -> Lens:
    """Build the lens of a frame from its keys and those that all frames share.

    Raises:
        FrameError: a key is missing, or the numbers are none of a camera.
    """
    missing = [key for key in INTRINSICS if key not in camera]
    if missing:
        raise FrameError(f"{file}: has no {', '.join(missing)}", f"no {missing[0]}")
    radial, tangential = ([camera.get(key, 0) for key in keys] for keys in (RADIAL, TANGENTIAL))
    return make_lens(str(file), [camera[key] for key in INTRINSICS], radial, tangential)


def _frame_files(path: Path, name: str, entry: dict[str, Any], has_depth: bool) -> FrameFiles:
    check_model(entry, path / "transforms.json")
    color = _file(path, entry, "file_path")
    if color is None:
        raise FrameError(f"{name}: names no image", "no file_path")
    depth = _file(path, entry, "depth_file_path")
    if has_depth and depth is None:
        raise FrameError(f"{name}: names no depth image", "no depth file")
    lens = lens_of(entry, path / "transforms.json")
    return FrameFiles(
        name=name,
        color=color,
        depth=depth,
        pose=opencv_from_opengl(entry.get("transform_matrix")),
        mask=_file(path, entry, "mask_path"),
        masked_is_black=True,
        cameras=own_cameras(lens.camera),
        distortion=lens.distortion,
    )


def opencv_from_opengl(rows: object) -> np.ndarray:
    """Return world_from_camera (4,4) in OpenCV axes of rows (4 or 3 of 4) in OpenGL axes.

    Raises:
        FrameError: they are no such rows.
    """
    try:
        pose = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pose = np.empty(0)
    if pose.shape not in ((3, 4), (4, 4)):
        raise FrameError(f"expected 4 rows of 4 numbers, found {rows}", "unreadable pose")
    pose[:3, 1:3] *= -1
    return pose if len(pose) == 4 else np.vstack([pose, (0, 0, 0, 1)])


def _file(path: Path, entry: dict[str, Any], key: str) -> Path | None:
    """Return the file that `entry` names, with .png where it gives no suffix."""
    named = entry.get(key)
    if not isinstance(named, str) or not named:
        return None
    file = path / named
    return file if file.suffix else Path(f"{file}.png")


def _name(entry: dict[str, Any], index: int) -> str:
    """Name a frame by its image, or by its number where that is no path in the scan."""
    named = PurePosixPath(str(entry.get("file_path", "")))
    if not named.name or named.is_absolute() or ".." in named.parts:
        return f"{index:06d}"
    return str(named.with_suffix(""))


def _mesh(path: Path, shared: dict[str, Any]) -> Callable[[], TriangleMesh] | None:
    """Return what reads mesh.ply, or else the file that is named, if that has faces; or None."""
    named = _file(path, shared, "ply_file_path")
    return mesh_reader(path / "mesh.ply", *([named] if named and _has_faces(named) else []))


def _has_faces(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(LONGEST_HEADER).partition(b"end_header")[0]
    except (OSError, ValueError):
        return False
    return re.search(rb"element face [1-9]", header) is not None
