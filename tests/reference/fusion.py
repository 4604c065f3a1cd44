"""Truncated signed distances of Curless and Levoy (1996), a point and a view at a time."""

import numpy as np


def integrate(points, views, truncation, max_depth):
    """Return the weighted mean distance (N,) over the truncation, 1 unseen, and the weight (N,)."""
    distance, weight = np.ones(len(points)), np.zeros(len(points))
    for n, point in enumerate(points):
        seen = [found for view in views if (found := look(point, view, truncation, max_depth))]
        if seen:
            values, weights = np.transpose(seen)
            distance[n], weight[n] = np.average(values, weights=weights), weights.sum()
    return distance, weight


def look(point, view, truncation, max_depth):
    """Return the distance that one view measures at a point and its weight, or None."""
    x, y, z, _ = np.linalg.inv(view.world_from_camera) @ [*point, 1]
    if z <= 0.05:  # behind the camera, or in it
        return None
    column, row, _ = np.floor(view.camera.K @ [x / z, y / z, 1]).astype(int)
    if not (0 <= column < view.camera.width and 0 <= row < view.camera.height):
        return None
    depth = view.depth[row, column]
    if not 0 < depth <= max_depth or z - depth > truncation:
        return None
    return min(1, (depth - z) / truncation), 1 / depth**2
