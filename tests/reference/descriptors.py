"""Descriptors of sets, one set, one face and one corner at a time."""

import numpy as np


def describe_set(vertices, faces, labels, which, up, floor):
    samples = []  # (area, |cosine|, point) of each corner in the set
    for face in faces:
        a, b, c = vertices[face].astype(float)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal) / 2
        for corner in face:
            if labels[corner] == which and area > 0:
                cosine = abs(normal @ up) / np.linalg.norm(normal)
                samples.append((area / 3, cosine, vertices[corner].astype(float)))
    if not samples:
        return np.full(6, np.nan)
    weights = np.array([area for area, _, _ in samples])
    cosines = np.array([cosine for _, cosine, _ in samples])
    points = np.array([point for _, _, point in samples])
    centre = np.average(points, axis=0, weights=weights)
    heights = (points - centre) @ up
    flat = (points - centre) - heights[:, None] * up  # projected onto the floor
    variances = np.sort(np.linalg.eigvalsh((flat * weights[:, None]).T @ flat / weights.sum()))
    return np.array(
        [
            centre @ up - floor,
            np.average(cosines, weights=weights),
            np.average(np.sqrt(np.maximum(0, 1 - cosines**2)), weights=weights),
            np.log(np.sqrt(variances[2]) + 0.01),
            np.log(np.sqrt(max(variances[1], 0)) + 0.01),
            np.log(np.sqrt(np.average(heights**2, weights=weights)) + 0.01),
        ]
    )
