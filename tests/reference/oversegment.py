"""The over-segmentation, transcribed rule by rule with plain loops over float32 scalars."""

import numpy as np

f32 = np.float32


def subtract(p, q):
    return [a - b for a, b in zip(p, q, strict=True)]


def dot(p, q):
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def cross(p, q):
    return [
        p[1] * q[2] - p[2] * q[1],
        p[2] * q[0] - p[0] * q[2],
        p[0] * q[1] - p[1] * q[0],
    ]


def unit(p):
    """Return p scaled to length 1, or None if it has no length."""
    length = np.sqrt(dot(p, p))
    return [a / length for a in p] if 0 < length < np.inf else None


def vertex_normals(points, faces):
    normals = [[f32(0)] * 3 for _ in points]
    counts = [0] * len(points)
    for face in faces:
        p1, p2, p3 = (points[i] for i in face)
        normal = unit(cross(subtract(p2, p1), subtract(p3, p1)))
        if normal is None:
            continue
        for i in face:
            v = f32(1) / f32(counts[i] + 1)
            normals[i] = [
                v * n + (f32(1) - v) * old for n, old in zip(normal, normals[i], strict=True)
            ]
            counts[i] += 1
    return normals


def weight(points, normals, i, j):
    w = f32(1) - dot(normals[i], normals[j])
    direction = unit(subtract(points[j], points[i]))
    convex = direction is not None and dot(normals[j], direction) > 0
    return w * w if convex else w


def oversegment(vertices, faces, threshold=0.01, min_vertices=20):
    points = [list(p) for p in vertices.astype(np.float32)]
    faces = faces.tolist()
    k = f32(threshold)
    with np.errstate(all="ignore"):
        normals = vertex_normals(points, faces)
        edges = [e for i1, i2, i3 in faces for e in ((i1, i2), (i1, i3), (i3, i2))]
        weighted = [(weight(points, normals, i, j), i, j) for i, j in edges]
    weighted = sorted(weighted, key=lambda edge: edge[0])

    component = {i: {i} for i in range(len(points))}  # each vertex's set, one object a set
    limit = dict.fromkeys(component, k)  # by vertex, equal within a set

    def merge(w, i, j):
        joined = component[i] | component[j]
        new_limit = w + k / f32(len(joined))
        for vertex in joined:
            component[vertex], limit[vertex] = joined, new_limit

    for w, i, j in weighted:
        if component[i] is not component[j] and w <= limit[i] and w <= limit[j]:
            merge(w, i, j)
    for w, i, j in weighted:
        sizes = len(component[i]), len(component[j])
        if component[i] is not component[j] and min(sizes) < min_vertices:
            merge(w, i, j)

    labels, numbers = [], {}
    for i in range(len(points)):
        labels.append(numbers.setdefault(id(component[i]), len(numbers)))
    return np.array(labels, dtype=np.int32)
