"""Flying pixels: depth that a sensor mixed from what lies before and behind the rim of a thing."""

import numba
import numpy as np

from geoset.geometry.camera import Camera

RADIUS = 2  # pixels; the neighbourhood is 5x5
RELIEF = 0.02  # of depth: neighbours nearer or farther by more lie on another surface,
STEEPEST = np.tan(np.radians(80))  # unless one this steep would recede by more from pixel to pixel


def drop_flying_pixels(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Return `depth` (H,W) float32 metres, 0 = none, without its flying pixels.

    A pixel flies if, of the valid pixels of the 5x5 around it, some are nearer by more than the
    limit, some farther, and fewer than half of them are neither. The limit is 2 % of its depth, or
    by how much a surface seen 80 degrees aslant recedes from one pixel to the next if that is more.
    """
    return _drop(depth, np.float32(max(RELIEF, STEEPEST / camera.K[0, 0])))


@numba.njit(cache=True)
def _drop(depth, relief):
    height, width = depth.shape
    kept = depth.copy()
    for i in range(height):
        for j in range(width):
            d = depth[i, j]
            if d <= 0:
                continue
            limit = relief * d
            nearer, farther, beside = 0, 0, -1  # not counting the pixel itself
            for y in range(max(i - RADIUS, 0), min(i + RADIUS + 1, height)):
                for x in range(max(j - RADIUS, 0), min(j + RADIUS + 1, width)):
                    other = depth[y, x]
                    if other <= 0:
                        continue
                    if other < d - limit:
                        nearer += 1
                    elif other > d + limit:
                        farther += 1
                    else:
                        beside += 1
            if nearer > 0 and farther > 0 and beside < nearer + farther:
                kept[i, j] = 0
    return kept
