"""The residual of a pair of frames, one pixel after the other, in world coordinates."""

import numpy as np


def residual_slowly(first, second, step=4, occluded=0.25, relief=0.05, fewest=30):
    """Return the median |difference| in metres of two views with depth, camera and pose."""
    gaps = [*_gaps(first, second, step, occluded, relief)]
    gaps += _gaps(second, first, step, occluded, relief)
    return np.median(gaps) if len(gaps) >= fewest else np.nan


def _gaps(view, other, step, occluded, relief):
    height, width = view.depth.shape
    for i in range(step // 2, height, step):
        for j in range(step // 2, width, step):
            if view.depth[i, j] <= 0:
                continue
            ray = np.linalg.solve(view.camera.K, (j + 0.5, i + 0.5, 1))
            world = view.world_from_camera @ (*(ray * view.depth[i, j]), 1)
            point = np.linalg.solve(other.world_from_camera, world)[:3]
            if point[2] <= 0:
                continue
            x, y, _ = other.camera.K @ point / point[2]
            there = _interpolated(other.depth, x - 0.5, y - 0.5, relief)
            if there is not None and point[2] - there < occluded:
                yield abs(point[2] - there)


def _interpolated(depth, x, y, relief):
    j, i = int(np.floor(x)), int(np.floor(y))
    if i < 0 or j < 0 or i + 1 >= depth.shape[0] or j + 1 >= depth.shape[1]:
        return None
    corners = depth[i : i + 2, j : j + 2].astype(float)
    if corners.min() <= 0 or corners.max() > (1 + relief) * corners.min():
        return None
    x, y = x - j, y - i
    return 1 / (np.array([1 - y, y]) @ (1 / corners) @ np.array([1 - x, x]))
