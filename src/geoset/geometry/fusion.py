"""Depth images fused into a triangle mesh: a block-sparse truncated signed distance field.

After Curless and Levoy (1996), stored in blocks as by Niessner et al. (2013): space is cut into
blocks of 8x8x8 voxels, only those near a measured surface exist, and marching cubes runs on them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera, invert
from geoset.geometry.isosurface import (
    BLOCK,
    HALF_RANGE,
    KEY_BITS,
    drop_specks,
    extract_surface,
    unpack_keys,
)
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.resize import every_nth_pixel
from geoset.geometry.smoothing import smooth_surface
from geoset.recipes import FusionSettings

LONGEST_SIDE = 640  # pixels that are fused: voxels are coarser, and hundreds of views are held
PINHOLE_RELIEF = 0.05  # of depth: neighbours farther apart lie on different surfaces


@dataclass(frozen=True)
class DepthView:
    """A depth image (h,w) float32 in metres, 0 = none, with its camera and pose."""

    depth: np.ndarray
    camera: Camera
    world_from_camera: np.ndarray


@dataclass(frozen=True)
class Fused:
    """The mesh (vertices float64 in world coordinates) and what it took to get it."""

    mesh: TriangleMesh
    voxel_size: float
    specks: int
    views: int


def fuse_depth(views: Iterable[DepthView], settings: FusionSettings | None = None) -> Fused:
    """Fuse posed depth images into a mesh whose normals face the cameras.

    Of views that come one by one, only one is held twice in memory.

    Raises:
        GeosetError: no view holds a depth between 0 and `max_depth`.
    """
    settings = settings or FusionSettings()
    views = [_near_depth(view, settings.max_depth) for view in views]
    origin = np.median([view.world_from_camera[:3, 3] for view in views], axis=0)
    views = [_moved(view, -origin) for view in views]
    settings, keys = _allocate(views, settings)
    distance, weight = _integrate(views, keys, settings)
    vertices, faces = extract_surface(keys, distance, weight)
    vertices *= settings.voxel_size
    vertices, faces, specks = drop_specks(vertices, faces, settings.min_component)
    if len(faces) == 0:
        raise GeosetError(
            f"{len(views)} depth images, and no surface in them: check that the poses are "
            "world_from_camera in metres, and that depth is in the unit of the format"
        )
    vertices = smooth_surface(vertices, faces, settings.smoothing_steps)
    return Fused(TriangleMesh(vertices + origin, faces), settings.voxel_size, specks, len(views))


def _near_depth(view: DepthView, max_depth: float) -> DepthView:
    depth, camera = every_nth_pixel(view.depth, view.camera, LONGEST_SIDE)
    near = np.where(depth <= max_depth, depth, np.float32(0))
    return replace(view, depth=_close_pinholes(near), camera=camera)


def _moved(view: DepthView, by: np.ndarray) -> DepthView:
    world_from_camera = view.world_from_camera.copy()
    world_from_camera[:3, 3] += by
    return replace(view, world_from_camera=world_from_camera)


@numba.njit(cache=True)
def _close_pinholes(depth):
    """Fill pixels without depth from their neighbours, where most of these lie on one surface.

    A voxel looks at one pixel a view; single missing ones would leave holes in whole walls.
    """
    height, width = depth.shape
    closed = depth.copy()
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            if depth[i, j] > 0:
                continue
            count, total = 0, 0.0
            nearest, farthest = np.inf, 0.0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    d = depth[i + di, j + dj]
                    if d > 0:
                        count += 1
                        total += d
                        nearest, farthest = min(nearest, d), max(farthest, d)
            if count >= 4 and farthest - nearest < PINHOLE_RELIEF * nearest:
                closed[i, j] = total / count
    return closed


def _allocate(
    views: Sequence[DepthView], settings: FusionSettings
) -> tuple[FusionSettings, np.ndarray]:
    """Find the blocks near measured surfaces; enlarge the voxels until they fit in memory."""
    bytes_per_block = BLOCK**3 * 2 * np.dtype(np.float32).itemsize
    while True:
        keys = np.empty(0, dtype=np.int64)
        for view in views:
            touched = _touched_blocks(
                view.depth,
                view.camera.rays(),
                view.world_from_camera,
                settings.truncation * settings.voxel_size,
                settings.voxel_size * BLOCK,
            )
            keys = np.union1d(keys, touched)
        if len(keys) == 0:
            raise GeosetError(
                f"none of {len(views)} depth images has a valid depth under "
                f"{settings.max_depth:g} m; check the depth unit, or raise the maximum depth"
            )
        if len(keys) * bytes_per_block <= settings.max_megabytes * 1e6:
            return settings, keys
        settings = replace(settings, voxel_size=settings.voxel_size * 1.25)


@numba.njit(cache=True)
def _touched_blocks(depth, rays, world_from_camera, truncation, block_size):
    """Packed keys, with repeats removed along rows, of blocks within the band of each depth."""
    height, width = depth.shape
    steps = 2 * int(np.ceil(2 * truncation / block_size)) + 1
    keys = np.empty(height * width * steps, dtype=np.int64)
    count = 0
    block = np.empty(3, dtype=np.int64)
    for step in range(steps):
        offset = truncation * (2.0 * step / (steps - 1) - 1.0)
        for i in range(0, height, 2):
            last = np.int64(-1)
            for j in range(0, width, 2):
                d = depth[i, j]
                if d <= 0:
                    continue
                z = d + offset
                inside = True
                for axis in range(3):
                    x = world_from_camera[axis, 3]
                    for k in range(3):
                        x += world_from_camera[axis, k] * rays[i, j, k] * z
                    block[axis] = np.int64(np.floor(x / block_size)) + HALF_RANGE
                    inside = inside and 0 < block[axis] < 2 * HALF_RANGE - 1
                key = (block[0] << (2 * KEY_BITS)) | (block[1] << KEY_BITS) | block[2]
                if inside and key != last:
                    keys[count] = key
                    count += 1
                    last = key
    return np.unique(keys[:count])


def _integrate(
    views: Sequence[DepthView], keys: np.ndarray, settings: FusionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Average each view's truncated distances, (B,8,8,8) in units of the truncation."""
    blocks = unpack_keys(keys)
    distance = np.ones((len(keys), BLOCK, BLOCK, BLOCK), dtype=np.float32)
    weight = np.zeros_like(distance)
    for view in views:
        _integrate_view(
            distance,
            weight,
            blocks,
            view.depth,
            view.camera.K,
            invert(view.world_from_camera),
            settings.voxel_size,
            settings.truncation * settings.voxel_size,
            settings.max_depth,
        )
    return distance, weight


@numba.njit(cache=True)
def _integrate_view(
    distance, weight, blocks, depth, K, camera_from_world, voxel_size, truncation, max_depth
):
    height, width = depth.shape
    R, t = camera_from_world[:3, :3].copy(), camera_from_world[:3, 3].copy()
    half_diagonal = 0.5 * np.sqrt(3.0) * BLOCK * voxel_size
    for b in range(len(blocks)):
        corner = blocks[b] * (BLOCK * voxel_size)
        centre = R @ (corner + 0.5 * BLOCK * voxel_size) + t
        if centre[2] < -half_diagonal or centre[2] > max_depth + truncation + half_diagonal:
            continue
        if centre[2] > 2 * half_diagonal:  # else too close for a bound on where it projects
            reach = half_diagonal / (centre[2] - half_diagonal)
            u = K[0, 0] * centre[0] / centre[2] + K[0, 2]
            v = K[1, 1] * centre[1] / centre[2] + K[1, 2]
            ru = (K[0, 0] + abs(u - K[0, 2])) * reach
            rv = (K[1, 1] + abs(v - K[1, 2])) * reach
            if u + ru < 0 or u - ru > width or v + rv < 0 or v - rv > height:
                continue
        for x in range(BLOCK):
            for y in range(BLOCK):
                # Sample points are voxel corners, so that blocks tile marching cubes' lattice.
                px, py = corner[0] + x * voxel_size, corner[1] + y * voxel_size
                cx = R[0, 0] * px + R[0, 1] * py + R[0, 2] * corner[2] + t[0]
                cy = R[1, 0] * px + R[1, 1] * py + R[1, 2] * corner[2] + t[1]
                cz = R[2, 0] * px + R[2, 1] * py + R[2, 2] * corner[2] + t[2]
                for z in range(BLOCK):
                    qz = cz + R[2, 2] * z * voxel_size
                    if qz <= 0.05:
                        continue
                    qx = (cx + R[0, 2] * z * voxel_size) / qz
                    qy = (cy + R[1, 2] * z * voxel_size) / qz
                    fj = K[0, 0] * qx + K[0, 1] * qy + K[0, 2]
                    fi = K[1, 1] * qy + K[1, 2]
                    if fj < 0 or fi < 0 or fj >= width or fi >= height:
                        continue
                    d = depth[int(fi), int(fj)]
                    if d <= 0:
                        continue
                    signed = d - qz
                    if signed < -truncation:
                        continue
                    w = np.float32(1.0 / (d * d))  # the sensors' noise grows with z^2
                    value = np.float32(min(1.0, signed / truncation))
                    total = weight[b, x, y, z] + w
                    distance[b, x, y, z] += (value - distance[b, x, y, z]) * (w / total)
                    weight[b, x, y, z] = total
