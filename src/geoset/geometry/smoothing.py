"""Smoothing that flattens noisy walls and keeps their edges.

Sun, Rosin, Martin and Langbein, "Fast and effective feature-preserving mesh denoising" (2007):
face normals are averaged with those neighbours that already point their way, then vertices move
so that faces meet the new normals. Here a neighbour counts once for each vertex it shares, so that
those across an edge weigh twice.
"""

import numba
import numpy as np

from geoset.geometry.mesh import face_normals

AGREEMENT = 0.5  # cosine under which a neighbouring normal has no say
VERTEX_ROUNDS = 2  # vertex updates for each normal update


def smooth_surface(vertices: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Return smoothed vertices (V,3) float64; faces (F,3) stay as they are."""
    vertices = vertices.astype(np.float64)
    if steps == 0 or len(faces) == 0:
        return vertices
    starts, members = _faces_of_vertices(faces, len(vertices))
    normals = face_normals(vertices, faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    for _ in range(steps):
        normals = _filter_normals(normals, faces, starts, members)
    for _ in range(steps * VERTEX_ROUNDS):
        vertices = _move_vertices(vertices, normals, faces, starts, members)
    return vertices


def _faces_of_vertices(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each vertex, its faces: members[starts[v]:starts[v + 1]]."""
    corner = faces.ravel()
    starts = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(corner, minlength=count), out=starts[1:])
    return starts, np.argsort(corner, kind="stable") // 3


@numba.njit(cache=True)
def _filter_normals(normals, faces, starts, members):
    filtered = np.empty_like(normals)
    for f in range(len(faces)):
        nx, ny, nz = normals[f]
        x = y = z = 0.0
        for corner in range(3):
            vertex = faces[f, corner]
            for m in range(starts[vertex], starts[vertex + 1]):
                ox, oy, oz = normals[members[m]]
                excess = nx * ox + ny * oy + nz * oz - AGREEMENT
                if excess > 0:
                    weight = excess * excess
                    x += weight * ox
                    y += weight * oy
                    z += weight * oz
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            nx, ny, nz = x / length, y / length, z / length
        filtered[f, 0], filtered[f, 1], filtered[f, 2] = nx, ny, nz
    return filtered


@numba.njit(cache=True)
def _move_vertices(vertices, normals, faces, starts, members):
    centroids = np.empty_like(normals)
    for f in range(len(faces)):
        a, b, c = faces[f]
        for axis in range(3):
            centroids[f, axis] = (vertices[a, axis] + vertices[b, axis] + vertices[c, axis]) / 3.0
    moved = vertices.copy()
    for v in range(len(vertices)):
        count = starts[v + 1] - starts[v]
        for m in range(starts[v], starts[v + 1]):
            f = members[m]
            height = 0.0
            for axis in range(3):
                height += normals[f, axis] * (centroids[f, axis] - vertices[v, axis])
            for axis in range(3):
                moved[v, axis] += normals[f, axis] * height / count
    return moved
