"""A box-shaped room whose every view is known in closed form: the ray that leaves a box.

Its mesh is a grid of square cells of two triangles on each of the six walls, seen from inside.
"""

from dataclasses import dataclass

import numpy as np

from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from reference.empty_room import look_at
from scan_folders import write_folder_scan

CELL = 0.025  # metres; diagonals stay under 4 cm, so that no edge is bisected
CELLS = np.array([80, 60, 50])  # along x, y, z
LOW = np.full(3, 0.01)  # keeps vertices off the borders of the 5 cm cells that overlap counts
HIGH = LOW + CELL * CELLS
PLANES = [(1, 2), (0, 2), (0, 1)]  # the axes that run along a wall across x, y, z

CAMERA = Camera(np.array([[100.0, 0, 63.2], [0, 104.0, 48.9], [0, 0, 1]]), 128, 96)


@dataclass
class Seen:
    """What each pixel (H,W) sees.

    depth: metres along z; points: (H,W,3) in the world; wall: 0..5; vertex: int
    clear: whether wall and vertex are beyond doubt, no tie of weights or walls being near
    """

    depth: np.ndarray
    points: np.ndarray
    wall: np.ndarray
    vertex: np.ndarray
    clear: np.ndarray


def first_vertex(wall):
    """Number of the first vertex of a wall (6 for the end); walls come one after the other."""
    per_axis = [(CELLS[a] + 1) * (CELLS[b] + 1) for a, b in PLANES]
    return np.concatenate([[0], np.cumsum(np.repeat(per_axis, 2))])[wall]


def box_mesh():
    """Walls low x, high x, low y, ...; neighbours have vertices of their own at their borders."""
    vertices, faces = [], []
    for axis, (a, b) in enumerate(PLANES):
        for high, side in enumerate((LOW, HIGH)):
            i, j = np.meshgrid(np.arange(CELLS[a] + 1), np.arange(CELLS[b] + 1), indexing="ij")
            grid = np.empty((*i.shape, 3))
            grid[..., axis] = side[axis]
            grid[..., a], grid[..., b] = LOW[a] + CELL * i, LOW[b] + CELL * j
            number = first_vertex(2 * axis + high) + np.arange(i.size).reshape(i.shape)
            corner = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
            for triangle in ((0, 1, 2), (0, 2, 3)):
                faces.append(np.stack([corner[k].ravel() for k in triangle], axis=1))
            vertices.append(grid.reshape(-1, 3))
    return TriangleMesh(
        np.concatenate(vertices).astype(np.float32), np.concatenate(faces).astype(np.int32)
    )


POSES = [
    look_at((0.61, 0.52, 0.63), (2.0, 1.2, 0.42)),
    look_at((0.68, 0.41, 0.71), (2.0, 0.9, 0.51)),
    look_at((0.52, 0.47, 0.58), (1.6, 1.5, 0.31)),
    look_at((1.13, 0.93, 0.66), (0.1, 0.2, 0.52)),
]


def see(camera, world_from_camera):
    """Cast the camera's pixels at the walls."""
    origin = world_from_camera[:3, 3]
    direction = camera.rays() @ world_from_camera[:3, :3].T
    distance = (np.where(direction > 0, HIGH, LOW) - origin) / direction
    nearest, second = np.sort(distance, axis=2)[..., :2].transpose(2, 0, 1)
    axis = np.argmin(distance, axis=2)
    points = origin + nearest[..., None] * direction
    high = np.take_along_axis(direction, axis[..., None], 2)[..., 0] > 0
    wall = 2 * axis + high
    along = np.array(PLANES)[axis]
    u, v = ((np.take_along_axis(points, along, 2) - LOW[0]) / CELL).transpose(2, 0, 1)
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    u, v = u - i, v - j
    # Barycentric weights in the triangle (0,0) (1,0) (1,1), or (0,0) (1,1) (0,1), of the cell.
    lower = (u >= v)[..., None]
    weights = np.where(
        lower, np.stack([1 - u, u - v, v], axis=-1), np.stack([1 - v, u, v - u], axis=-1)
    )
    best = weights.argmax(axis=-1)
    step = np.where(lower[..., None], [(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 1), (0, 1)])
    di, dj = np.take_along_axis(step, best[..., None, None], 2)[..., 0, :].transpose(2, 0, 1)
    row = CELLS[along[..., 1]] + 1
    vertex = first_vertex(wall) + (i + di) * row + (j + dj)
    ordered = np.sort(weights, axis=-1)
    clear = (ordered[..., 2] - ordered[..., 1] > 1e-3) & (second - nearest > 1e-4)
    return Seen(nearest, points, wall, vertex, clear)


def paint(points):
    """Return a colour that changes slowly along the walls, uint8."""
    return np.round(40 + 170 * (points - LOW) / (HIGH - LOW)).astype(np.uint8)


def write_box_room(path, poses=POSES, camera=CAMERA, **options):
    """Write the room as a scan with its mesh and exact depth; return `path`."""
    views = [see(camera, pose) for pose in poses]
    K = camera.K.copy()
    K[:2, 2] -= 0.5  # scan files count whole-numbered pixel centres
    options = {"mesh": box_mesh(), "depths": [view.depth for view in views]} | options
    images = [paint(view.points) for view in views]
    return write_folder_scan(path, images, options.pop("depths"), poses, K, **options)
