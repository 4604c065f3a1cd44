"""How far the depth images of two frames disagree, once moved by their poses: drift in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from geoset.geometry.camera import Camera, invert
from geoset.geometry.resize import every_nth_pixel

THUMBNAIL = 160  # pixels of the longer side; one depth image stays under 100 kB
QUERY_STEP = 4  # one in 16 pixels of a thumbnail is moved into the other frame
OCCLUDED = 0.25  # metres behind what the other frame sees: hidden from it, not out of place
RELIEF = 0.05  # of depth: the four pixels around a place lie on one surface if they differ by less
FEWEST = 30  # moved pixels, of both directions, below which there is no telling


@dataclass(frozen=True)
class DepthThumbnail:
    """Every n-th pixel of a depth image, (h,w) float32 metres, 0 = none, and its camera."""

    depth: np.ndarray
    camera: Camera
    world_from_camera: np.ndarray


def depth_thumbnail(
    depth: np.ndarray, camera: Camera, world_from_camera: np.ndarray
) -> DepthThumbnail:
    """Take every n-th pixel of a depth image (H,W), so that at most 160 a side are left."""
    kept, camera = every_nth_pixel(depth, camera, THUMBNAIL)
    return DepthThumbnail(kept.astype(np.float32), camera, world_from_camera)


def pair_residuals(views: Sequence[DepthThumbnail], pairs: np.ndarray) -> np.ndarray:
    """Return the residual of each pair, (P,) float32 metres, NaN where there is no telling.

    Pixels of each frame of a pair are moved into the other by depth and pose, and their depth there
    is compared with what that frame measured, interpolated between four pixels of one surface (of
    their inverse depth, which is exact for planes). The residual is the median of |difference| over
    both directions. A pixel more than 25 cm behind what the other frame sees is occluded and does
    not count; one before it does, for the other frame has looked through it. A drift along the
    only surface in view is not noticed.

    views: of all frames; pairs: (P,2) indices of them
    """
    residual = np.full(len(pairs), np.nan, dtype=np.float32)
    if len(pairs) == 0:
        return residual
    # Frames of several sizes: what a frame does not have is without depth.
    shape = np.max([view.depth.shape for view in views], axis=0)
    depth = np.zeros((len(views), *shape), dtype=np.float32)
    for index, view in enumerate(views):
        height, width = view.depth.shape
        depth[index, :height, :width] = view.depth
    K = np.stack([view.camera.K for view in views])
    world_from_camera = np.stack([view.world_from_camera for view in views])
    camera_from_world = np.stack([invert(pose) for pose in world_from_camera])
    _fill(residual, depth, np.linalg.inv(K), K, world_from_camera, camera_from_world, pairs)
    return residual


@numba.njit(cache=True)
def _fill(residual, depth, K_inverse, K, world_from_camera, camera_from_world, pairs):
    _, height, width = depth.shape
    gaps = np.empty(2 * height * width, dtype=np.float64)
    for p in range(len(pairs)):
        count = 0
        for a, b in ((pairs[p, 0], pairs[p, 1]), (pairs[p, 1], pairs[p, 0])):
            b_from_a = camera_from_world[b] @ world_from_camera[a]
            rotate = K[b] @ b_from_a[:3, :3].copy() @ K_inverse[a]
            shift = K[b] @ b_from_a[:3, 3].copy()
            count = _collect(gaps, count, depth[a], depth[b], rotate, shift)
        if count >= FEWEST:
            residual[p] = np.median(gaps[:count])


@numba.njit(cache=True)
def _collect(gaps, count, depth, other, rotate, shift):
    """Write |difference| of each pixel that has one to `gaps`, from `count` on; return the end."""
    height, width = depth.shape
    for i in range(QUERY_STEP // 2, height, QUERY_STEP):
        for j in range(QUERY_STEP // 2, width, QUERY_STEP):
            d = depth[i, j]
            if d <= 0:
                continue
            u, v = j + 0.5, i + 0.5
            z = (rotate[2, 0] * u + rotate[2, 1] * v + rotate[2, 2]) * d + shift[2]
            if z <= 0:
                continue
            x = ((rotate[0, 0] * u + rotate[0, 1] * v + rotate[0, 2]) * d + shift[0]) / z
            y = ((rotate[1, 0] * u + rotate[1, 1] * v + rotate[1, 2]) * d + shift[1]) / z
            there = _interpolate(other, x, y)
            if there > 0 and z - there < OCCLUDED:
                gaps[count] = abs(z - there)
                count += 1
    return count


@numba.njit(cache=True)
def _interpolate(depth, x, y):
    """Depth at the place (x, y), or 0 where the four pixels around it are not of one surface."""
    height, width = depth.shape
    u, v = x - 0.5, y - 0.5
    if not (0 <= u < width - 1 and 0 <= v < height - 1):
        return 0.0
    j, i = int(u), int(v)
    a, b, c, d = depth[i, j], depth[i, j + 1], depth[i + 1, j], depth[i + 1, j + 1]
    nearest = min(a, b, c, d)
    if nearest <= 0 or max(a, b, c, d) - nearest > RELIEF * nearest:
        return 0.0
    u, v = u - j, v - i
    return 1 / ((1 - v) * ((1 - u) / a + u / b) + v * ((1 - u) / c + u / d))
