"""Procedural rooms as scan folders, in the layout of ScanNet's `scannet_frames_25k` export."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from geoset.errors import GeosetError
from geoset.files import atomic_write, remove_partial
from geoset.geometry.camera import Camera
from geoset.scans.rooms.layout import furnish
from geoset.scans.rooms.render import render
from geoset.scans.rooms.scene import dress
from geoset.scans.rooms.sensor import develop, sense
from geoset.scans.rooms.settings import ROOM_CLASSES, RoomSettings
from geoset.scans.rooms.walk import walk

KINDS = ("color", "depth", "label", "instance", "pose")
JPEG_QUALITY = 95


def write_room(path: str | Path, seed: int, settings: RoomSettings | None = None) -> None:
    """Write the scan of a made-up room to the folder `path`; it is a function of seed and settings.

    `color/000000.jpg`, `depth/000000.png` (16 bit, millimetres, 0 = none), `pose/000000.txt`
    (4x4 world_from_camera, z up), `label/000000.png` (16 bit, id k is line k of `classes.txt`) and
    `instance/000000.png` (16 bit, label * 1000 + number), `intrinsics_color.txt` and
    `intrinsics_depth.txt` (4x4, the centre given for whole-numbered pixel centres, as ScanNet
    does), `room.json` (seed and settings). `classes.txt` is written last: a folder that has it is
    complete and left as it is; one that has not is finished by the same call.

    Raises:
        GeosetError: the folder holds something else or cannot be written, or the seed is negative.
    """
    path, settings = Path(path), settings or RoomSettings()
    if seed < 0:
        raise GeosetError(f"write_room: seed is {seed}, expected 0 or more")
    origin = json.dumps({"seed": int(seed), **asdict(settings)}, indent=1)
    for folder in (path, *(path / kind for kind in KINDS)):
        remove_partial(folder)
    _check_free(path, origin)
    if (path / "classes.txt").exists():
        return
    atomic_write(path / "room.json", origin + "\n")
    # One stream of random numbers each, so that more frames do not change the room.
    plan, looks, steps, shots = np.random.default_rng(seed).spawn(4)
    room = furnish(plan, settings)
    scene = dress(room, looks, settings.typical_style)
    camera = _camera(settings, steps)
    white_balance, exposure = shots.uniform(0.88, 1.12, 3), np.exp(shots.normal(0, 0.2))
    for k, world_from_camera in enumerate(walk(room, scene, camera, settings.frames, steps)):
        view = render(scene, camera, world_from_camera)
        color = develop(view, white_balance, exposure, settings.image_noise, shots)
        depth = sense(view, settings, shots)
        atomic_write(path / f"color/{k:06d}.jpg", simplejpeg.encode_jpeg(color, JPEG_QUALITY))
        atomic_write(path / f"depth/{k:06d}.png", _png(depth))
        atomic_write(path / f"label/{k:06d}.png", _png(view.label))
        atomic_write(path / f"instance/{k:06d}.png", _png(view.instance))
        atomic_write(path / f"pose/{k:06d}.txt", _matrix(world_from_camera))
    intrinsics = np.eye(4)
    intrinsics[:3, :3] = camera.K
    intrinsics[:2, 2] -= 0.5
    atomic_write(path / "intrinsics_color.txt", _matrix(intrinsics))
    atomic_write(path / "intrinsics_depth.txt", _matrix(intrinsics))
    atomic_write(path / "classes.txt", "".join(f"{name}\n" for name in ROOM_CLASSES))


def _check_free(path: Path, origin: str) -> None:
    """Raise GeosetError unless `path` is new, empty, or holds (part of) the room of `origin`."""
    made_from = path / "room.json"
    if made_from.exists():
        free = json.loads(made_from.read_text()) == json.loads(origin)
    else:
        free = not path.is_dir() or not any(path.iterdir())
    if not free:
        raise GeosetError(
            f"{path}: holds something other than the room asked for (room.json there, if any, says "
            "what); remove the folder, or write to another one"
        )


def _camera(settings: RoomSettings, rng: np.random.Generator) -> Camera:
    width, height = settings.width, settings.height
    focal = width / 2 / np.tan(np.radians(rng.uniform(*settings.fov)) / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Camera(K, width, height)


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="png", compress_level=3)
    return data.getvalue()


def _matrix(matrix: np.ndarray) -> str:
    return "".join(" ".join(f"{value:.9f}" for value in row) + "\n" for row in matrix)
