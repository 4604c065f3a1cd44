"""Flying pixels: depth that a sensor mixed from what lies before and behind the rim of a thing."""

import numba
import numpy as np

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
    relief = max(RELIEF, STEEPEST / camera.K[0, 0])
    return _drop(np.pad(depth, RADIUS), np.float32(relief))


@numba.njit(cache=True)
def _drop(padded, relief):
    height, width = padded.shape[0] - 2 * RADIUS, padded.shape[1] - 2 * RADIUS
    kept = padded[RADIUS:-RADIUS, RADIUS:-RADIUS].copy()
    nearest, farthest = np.empty(padded.shape[1], np.float32), np.empty(padded.shape[1], np.float32)
    between = np.empty(width, np.bool_)
    nothing = np.float32(np.inf)
    for i in range(height):
        # Without branches, so that these loops are vectorised: few pixels come through.
        nearest[:], farthest[:] = nothing, 0
        for y in range(i, i + SIDE):
            for x in range(padded.shape[1]):
                d = padded[y, x]
                valid = d if d > 0 else nothing
                nearest[x] = valid if valid < nearest[x] else nearest[x]
                farthest[x] = d if d > farthest[x] else farthest[x]
        for j in range(width):
            near, far, d = nearest[j], farthest[j], kept[i, j]
            for k in range(1, SIDE):
                near = nearest[j + k] if nearest[j + k] < near else near
                far = farthest[j + k] if farthest[j + k] > far else far
            between[j] = (near < d - relief * d) & (far > d + relief * d) & (d > 0)
        for j in range(width):
            if between[j] and _stands_alone(padded, i, j, relief):
                kept[i, j] = 0
    return kept


@numba.njit(cache=True)
def _stands_alone(padded, i, j, relief):
    """Whether fewer than a third of the pixels around are on the surface of pixel (i, j)."""
    d = padded[i + RADIUS, j + RADIUS]
    valid, beside = -1, -1  # not counting the pixel itself
    for y in range(i, i + SIDE):
        for x in range(j, j + SIDE):
            valid += padded[y, x] > 0
            beside += d - relief * d <= padded[y, x] <= d + relief * d
    return 3 * beside < valid
