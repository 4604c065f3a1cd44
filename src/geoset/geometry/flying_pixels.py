"""Flying pixels: depth that a sensor mixed from what lies before and behind the rim of a thing."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from geoset.geometry.camera import Camera

RADIUS = 2  # pixels
SIDE = 2 * RADIUS + 1
RELIEF = 0.02  # of depth: neighbours nearer or farther by more lie on another surface,
STEEPEST = np.tan(np.radians(80))  # unless one this steep would recede by more from pixel to pixel


def drop_flying_pixels(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Return `depth` (H,W) float32 metres, 0 = none, without its flying pixels.

    A pixel flies if, of the valid pixels of the 5x5 around it, some are nearer by more than the
    limit, some farther, and fewer than a third of them neither. The limit is 2 % of its depth, or
    by how much a surface seen 80 degrees aslant recedes from one pixel to the next if that is more.
    """
    padded = np.pad(depth, RADIUS)
    far = np.where(padded > 0, padded, np.float32(np.inf))
    limit = np.float32(max(RELIEF, STEEPEST / camera.K[0, 0])) * depth
    # Few pixels have nearer as well as farther ones around: only of these all 25 are looked at.
    between = _extreme(np.minimum, far) < depth - limit
    between &= _extreme(np.maximum, padded) > depth + limit
    between &= depth > 0
    windows = sliding_window_view(padded, (SIDE, SIDE))[between]
    beside = np.abs(windows - depth[between][:, None, None]) <= limit[between][:, None, None]
    apart = (windows > 0) & ~beside
    kept = depth.copy()
    kept[between] *= 2 * (beside.sum(axis=(1, 2)) - 1) >= apart.sum(axis=(1, 2))
    return kept


def _extreme(of_two: np.ufunc, padded: np.ndarray) -> np.ndarray:
    """Least or greatest of the 5x5 around each pixel; `padded` has two more on every side."""
    for _ in range(2 * RADIUS):
        padded = of_two(padded[1:], padded[:-1])
    for _ in range(2 * RADIUS):
        padded = of_two(padded[:, 1:], padded[:, :-1])
    return padded
