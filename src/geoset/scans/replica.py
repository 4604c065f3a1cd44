"""Replica as rendered for NICE-SLAM: `results/frame000000.jpg, depth000000.png`, `traj.txt`.

`cam_params.json`, in the folder or beside it, has the camera and the scale of depth; without it
they are the published ones. The mesh is `<scene>_mesh.ply` beside the folder, or `mesh.ply` in it.
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
    read_json,
)
from geoset.scans.scan import Scan
from geoset.scans.trajectory import is_video, numbers, read_words

LAYOUT = "Replica renders"
LOOKS_FOR = "results/frame000000.jpg, results/depth000000.png, traj.txt"

PUBLISHED = {"w": 1200, "h": 680, "fx": 600, "fy": 600, "cx": 599.5, "cy": 339.5, "scale": 6553.5}


def matches(path: Path) -> bool:
    """Tell whether `path` holds a trajectory and frames in `results/`."""
    return (path / "traj.txt").is_file() and next(path.glob("results/frame*"), None) is not None


def read(path: Path) -> Scan:
    """Read the renders of a scene.

    Raises:
        GeosetError: the trajectory is unreadable, or `cam_params.json` holds no camera.
    """
    camera, units_per_metre = _read_camera(path)
    rows = numbers(read_words(path / "traj.txt"), 16)
    results = path / "results"
    has_depth = next(results.glob("depth*.png"), None) is not None
    colors = {p.stem[5:]: p for p in results.glob("frame*") if p.stem[5:].isdecimal()}
    files, rejected = [], []
    for digits, color in sorted(colors.items(), key=lambda item: int(item[0])):
        if int(digits) >= len(rows):
            rejected.append((color.stem, "no pose in traj.txt"))
            continue
        depth = results / f"depth{digits}.png" if has_depth else None
        files.append(FrameFiles(color.stem, color, depth, rows[int(digits)].reshape(4, 4)))
    frames, unusable = assemble_frames(files, *own_cameras(camera), units_per_metre)
    return Scan(
        path,
        LAYOUT,
        frames,
        rejected + unusable,
        mesh_reader(path.resolve().parent / f"{path.resolve().name}_mesh.ply", path / "mesh.ply"),
        full_rate=is_video(frames),
    )


def _read_camera(path: Path) -> tuple[Camera, float]:
    """Return the camera, and what depth images count in a metre."""
    beside = (folder / "cam_params.json" for folder in (path, path.resolve().parent))
    file = next((file for file in beside if file.is_file()), None)
    given = PUBLISHED
    if file is not None:
        content = read_json(file)
        try:
            given = {name: float(content["camera"][name]) for name in PUBLISHED}
        except (LookupError, TypeError, ValueError, OverflowError):
            given = {}
        if not (given and np.isfinite(list(given.values())).all() and min(given.values()) > 0):
            raise GeosetError(
                f"{file}: expected camera: {{{', '.join(PUBLISHED)}}}, all of them positive; "
                "remove it to have the published camera taken"
            )
    K = np.array([[given["fx"], 0, given["cx"]], [0, given["fy"], given["cy"]], [0, 0, 1]])
    width, height = int(given["w"]), int(given["h"])
    K = checked_intrinsics(file or path, K, width, height)
    return camera_from_integer_centres(K, width, height), given["scale"]
