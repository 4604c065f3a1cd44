"""A reader of one more format: `capture.json` beside images and depth images."""

from functools import partial
from pathlib import Path

import numpy as np

from geoset.geometry.camera import Camera
from geoset.scans.assemble import FrameFiles, assemble_frames
from geoset.scans.decode import read_json
from geoset.scans.scan import Scan

LAYOUT = "Capture"
LOOKS_FOR = "capture.json, images/*.jpg, depth/*.png"


def matches(path: Path) -> bool:
    """Tell whether `path` looks like a capture."""
    return (path / "capture.json").is_file()


def read(path: Path) -> Scan:
    """Read a capture. Its poses are camera_from_world, with OpenCV's axes: they are inverted."""
    content = read_json(path / "capture.json")
    files = []
    for shot in content["shots"]:
        color, depth = path / f"images/{shot['name']}.jpg", path / f"depth/{shot['name']}.png"
        world_from_camera = np.linalg.inv(shot["camera_from_world"])
        files.append(FrameFiles(shot["name"], color, depth, world_from_camera))
    camera = partial(_camera, np.array(content["K"]))
    frames, rejected = assemble_frames(files, camera, camera, units_per_metre=1000)
    return Scan(path, LAYOUT, frames, rejected)


def _camera(K: np.ndarray, width: int, height: int) -> Camera:
    return Camera(K, width, height)
