"""Feature-preserving denoising of Sun et al. (2007), a face and a vertex at a time."""

import numpy as np


def smooth(vertices, faces, steps, agreement=0.5, vertex_rounds=2):
    vertices = np.array(vertices, dtype=float)
    normals = [unit(normal_of(vertices[face])) for face in faces]
    for _ in range(steps):
        normals = [filtered(normals, faces, f, agreement) for f in range(len(faces))]
    for _ in range(steps * vertex_rounds):
        vertices = np.array([moved(vertices, faces, normals, v) for v in range(len(vertices))])
    return vertices


def filtered(normals, faces, f, agreement):
    """n_i <- unit(sum_j max(0, n_i.n_j - T)^2 n_j); a neighbour counts once a shared vertex."""
    total = np.zeros(3)
    for vertex in faces[f]:
        for other, face in enumerate(faces):
            if vertex in face:
                total += max(0, normals[f] @ normals[other] - agreement) ** 2 * normals[other]
    return unit(total) if total.any() else normals[f]


def moved(vertices, faces, normals, v):
    """v <- v + mean over its faces k of n_k (n_k . (c_k - v))."""
    around = [k for k, face in enumerate(faces) if v in face]
    if not around:
        return vertices[v]
    offsets = [vertices[faces[k]].mean(axis=0) - vertices[v] for k in around]
    shifts = [normals[k] * (normals[k] @ offset) for k, offset in zip(around, offsets, strict=True)]
    return vertices[v] + np.mean(shifts, axis=0)


def normal_of(corners):
    return np.cross(corners[1] - corners[0], corners[2] - corners[0])


def unit(vector):
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
