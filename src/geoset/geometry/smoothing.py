"""Smoothing that flattens noisy walls and keeps their edges.

Sun, Rosin, Martin and Langbein, "Fast and effective feature-preserving mesh denoising" (2007):
face normals are averaged with those neighbours that already point their way, then vertices move
so that faces meet the new normals.
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
        total = np.zeros(3)
        for corner in range(3):
            vertex = faces[f, corner]
            for m in range(starts[vertex], starts[vertex + 1]):
                other = normals[members[m]]
                agreement = (
                    normals[f, 0] * other[0] + normals[f, 1] * other[1] + normals[f, 2] * other[2]
                )
                if agreement > AGREEMENT:
                    total += (agreement - AGREEMENT) ** 2 * other
        length = np.sqrt((total * total).sum())
        filtered[f] = total / length if length > 0 else normals[f]
    return filtered


@numba.njit(cache=True)
def _move_vertices(vertices, normals, faces, starts, members):
    moved = vertices.copy()
    for v in range(len(vertices)):
        count = starts[v + 1] - starts[v]
        if count == 0:
            continue
        for m in range(starts[v], starts[v + 1]):
            f = members[m]
            height = 0.0
            for axis in range(3):
                centroid = (
                    vertices[faces[f, 0], axis]
                    + vertices[faces[f, 1], axis]
                    + vertices[faces[f, 2], axis]
                ) / 3.0
                height += normals[f, axis] * (centroid - vertices[v, axis])
            for axis in range(3):
                moved[v, axis] += normals[f, axis] * height / count
    return moved
