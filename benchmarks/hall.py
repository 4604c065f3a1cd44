"""A made-up scan of a large scene: a hall with wavy walls, of about 250,000 vertices."""

from pathlib import Path

import numpy as np
import simplejpeg
from inputs import IMAGE_SIZE
from PIL import Image

from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.geometry.raycast import Raycaster

SIZE = np.array([9.0, 6.5, 2.6])  # metres
SPACING = 0.027  # diagonals stay under 4 cm, so that no edge is bisected
WAVE, LENGTH = 0.05, 1.2  # metres


def write_hall(path: Path, frames: int = 300) -> Path:
    """Write the hall as one folder a kind, seen on a walk around it; return `path`."""
    mesh = hall_mesh()
    raycaster = Raycaster(mesh)
    height, width = IMAGE_SIZE
    camera = Camera(
        np.array([[290.0, 0, width / 2], [0, 290, height / 2], [0, 0, 1]]), width, height
    )
    for folder in ("color", "depth", "pose"):
        (path / folder).mkdir(parents=True)
    for k, world_from_camera in enumerate(walk(frames)):
        vertex_map, depth = raycaster.cast(camera, world_from_camera)
        millimetres = np.round(depth * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(path / f"depth/{k:06d}.png")
        color = mesh.colors[vertex_map]
        (path / f"color/{k:06d}.jpg").write_bytes(simplejpeg.encode_jpeg(color))
        np.savetxt(path / f"pose/{k:06d}.txt", world_from_camera)
    np.savetxt(path / "intrinsics.txt", camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    write_ply(path / "mesh.ply", mesh)
    return path


def walk(frames: int) -> list[np.ndarray]:
    """Return poses on an ellipse, looking outwards and a little up and down."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        eye = SIZE * (0.5 + 0.2 * np.cos(angle), 0.5 + 0.2 * np.sin(angle), 0.55)
        forward = np.array([np.cos(3 * angle), np.sin(3 * angle), 0.3 * np.sin(11 * angle) - 0.2])
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0, 0, 1))
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = eye
        poses.append(pose)
    return poses


def hall_mesh() -> TriangleMesh:
    """Return the six walls, each a grid pushed to and fro by waves that vanish at its rims."""
    vertices, faces, count = [], [], 0
    for axis in range(3):
        a, b = (k for k in range(3) if k != axis)
        for side in (0.0, SIZE[axis]):
            along = [np.linspace(0, SIZE[k], int(SIZE[k] / SPACING) + 1) for k in (a, b)]
            u, v = np.meshgrid(*along, indexing="ij")
            rim = np.minimum.reduce([u, v, SIZE[a] - u, SIZE[b] - v])
            wave = np.sin(2 * np.pi * u / LENGTH) * np.sin(2 * np.pi * v / LENGTH)
            grid = np.empty((*u.shape, 3))
            grid[..., a], grid[..., b] = u, v
            grid[..., axis] = side + WAVE * np.minimum(rim, 1) * wave
            vertices.append(grid.reshape(-1, 3))
            number = count + np.arange(u.size).reshape(u.shape)
            corners = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
            for triangle in ((0, 1, 2), (0, 2, 3)):
                faces.append(np.stack([corners[k].ravel() for k in triangle], axis=1))
            count += u.size
    places = np.concatenate(vertices)
    colors = np.round(60 + 150 * np.mod(places, 1)).astype(np.uint8)
    return TriangleMesh(places.astype(np.float32), np.concatenate(faces).astype(np.int32), colors)
