"""COLMAP's text model: `cameras.txt` and `images.txt`.

Poses are camera_from_world, a quaternion (w first) and a translation; axes are OpenCV's, pixel
centres at +0.5.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from geoset.errors import GeosetError
from geoset.geometry.camera import invert
from geoset.scans.decode import check_is_file, unreadable
from geoset.scans.distortion import Lens, make_lens

# The parameters of a model, in their order; f stands for fx and fy.
MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}


class PosedImage(NamedTuple):
    """A line of images.txt; world_from_camera is (4,4) in OpenCV axes, NaN if it is unreadable."""

    name: str
    camera_id: str
    world_from_camera: np.ndarray


def read_cameras(path: Path) -> dict[str, Lens]:
    """Read cameras.txt: lenses by camera id.

    Raises:
        GeosetError: the file is missing or malformed, or a camera's model is not in MODELS.
    """
    lenses = {}
    for number, line in _lines(path):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        source = f"{path}, line {number}"
        model = words[1] if len(words) > 1 else "none"
        if model not in MODELS:
            raise GeosetError(
                f"{source}: camera model {model} is not read, only {', '.join(MODELS)}; undistort "
                "the images first (colmap image_undistorter)"
            )
        if len(words) != 4 + len(MODELS[model]):
            raise GeosetError(
                f"{source}: expected an id, {model}, width, height, {', '.join(MODELS[model])}"
            )
        given = dict(zip(MODELS[model], words[4:], strict=True))
        focal = given.get("f", 0)
        lenses[words[0]] = make_lens(
            source,
            [given.get("fx", focal), given.get("fy", focal), given["cx"], given["cy"], *words[2:4]],
            [given.get(key, 0) for key in ("k1", "k2")],
            [given.get(key, 0) for key in ("p1", "p2")],
        )
    return lenses


def read_images(path: Path) -> tuple[list[PosedImage], list[tuple[str, str]]]:
    """Read images.txt; return its images, and (line, reason) of lines that are none.

    Every second line holds keypoints, is often empty, and is passed over.

    Raises:
        GeosetError: the file is missing or no text.
    """
    images, rejected, keypoints_follow = [], [], False
    for number, line in _lines(path):
        if keypoints_follow or not line.strip() or line.startswith("#"):
            keypoints_follow = False
            continue
        words = line.split(maxsplit=9)  # an id, qw qx qy qz, tx ty tz, a camera's id, a name
        if len(words) == 10:
            images.append(PosedImage(words[9].strip(), words[8], _world_from_camera(words[1:8])))
        else:
            rejected.append((f"line {number}", f"unreadable line of {path.name}"))
        keypoints_follow = True
    return images, rejected


def _world_from_camera(words: list[str]) -> np.ndarray:
    try:
        w, x, y, z, *translation = map(float, words)
        camera_from_world = np.eye(4)
        camera_from_world[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
        camera_from_world[:3, 3] = translation
    except ValueError:  # no numbers, or no rotation
        return np.full((4, 4), np.nan)
    return invert(camera_from_world)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, without holding all of a long file."""
    try:
        check_is_file(path)
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
