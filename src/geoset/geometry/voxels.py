"""A coloured surface as voxels: the cubic cells of a grid that hold its vertices."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from geoset.geometry.camera import Camera, invert


@dataclass(frozen=True)
class Voxels:
    """The N occupied cells of a grid through the origin.

    cells: (N,3) int32; cell c spans c * size to (c + 1) * size
    colors: (N,3) uint8, mean over the vertices inside
    of_vertex: (V,) int32, the voxel of each vertex
    size: metres, the edge of a cell
    """

    cells: np.ndarray
    colors: np.ndarray
    of_vertex: np.ndarray
    size: float

    def centers(self, index: np.ndarray | slice) -> np.ndarray:
        """Return the centres (n,3) float64 of voxels `index` (n,), metres."""
        return (self.cells[index] + 0.5) * self.size

    def first_cell(self, corner: np.ndarray) -> np.ndarray:
        """Return the first cell (3,), in floats, whose centre does not lie below `corner` (3,)."""
        return np.ceil(corner / self.size - 0.5)

    def inside(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the voxels whose centres lie between the corners `low` and `high`, (n,) int32."""
        return _between(self.cells, self.first_cell(low), self.first_cell(high))

    def nearest(self, point: np.ndarray) -> np.ndarray:
        """Return the centre (3,) of the voxel nearest to `point` (3,), metres."""
        centers = self.centers(slice(None))
        return centers[np.square(centers - point).sum(axis=1).argmin()]

    def landings(
        self,
        index: np.ndarray,
        camera: Camera,
        world_from_camera: np.ndarray,
        depth: np.ndarray,
        tolerance: float,
    ) -> np.ndarray:
        """Return the pixel y * width + x that the centre of each voxel lands in, (n,) int32.

        -1 unless it lands inside the image, in front of the camera, on a pixel whose valid depth
        differs from its own by less than `tolerance` metres.

        index: (n,) voxels; depth: (H,W) metres, 0 = none
        """
        image_from_world = camera.K @ invert(world_from_camera)[:3]
        return _land(self.cells, index, self.size, image_from_world, depth, tolerance)


def voxelize(vertices: np.ndarray, colors: np.ndarray, size: float = 0.02) -> Voxels:
    """Collect vertices (V,3), metres, and their colours (V,3) uint8 in cells of `size` metres.

    Nothing is put between vertices: where they lie further apart, each has a voxel of its own.
    """
    cells = np.floor(vertices / np.float64(size)).astype(np.int64)
    x, y, z = (cells - cells.min(axis=0)).T
    _, first, of_vertex, count = np.unique(
        (x << 42) | (y << 21) | z, return_index=True, return_inverse=True, return_counts=True
    )
    means = [np.bincount(of_vertex, weights=channel) / count for channel in colors.T]
    return Voxels(
        cells=cells[first].astype(np.int32),
        colors=np.round(np.stack(means, axis=1)).astype(np.uint8),
        of_vertex=of_vertex.astype(np.int32),
        size=size,
    )


def depth_box(
    depth: np.ndarray, camera: Camera, world_from_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the low and the high corner (3,) of the box around what a depth map (H,W) sees.

    Metres, along the axes of the world; infinite, low above high, if no depth is valid.
    """
    return _bounds(depth, camera.rays(), world_from_camera)


@njit(cache=True, nogil=True)
def _between(cells, first, end):
    found = np.empty(len(cells), dtype=np.int32)
    count = 0
    for i in range(len(cells)):
        inside = True
        for axis in range(3):
            inside &= first[axis] <= cells[i, axis] < end[axis]
        if inside:
            found[count] = i
            count += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _land(cells, index, size, image_from_world, depth, tolerance):
    height, width = depth.shape
    pixel = np.full(len(index), -1, dtype=np.int32)
    u = np.empty(3)
    for n in range(len(index)):
        for row in range(3):
            u[row] = image_from_world[row, 3]
            for axis in range(3):
                u[row] += image_from_world[row, axis] * (cells[index[n], axis] + 0.5) * size
        z = u[2]
        if z <= 0:
            continue
        x, y = np.floor(u[0] / z), np.floor(u[1] / z)
        if 0 <= x < width and 0 <= y < height:
            measured = depth[int(y), int(x)]
            if measured > 0 and abs(z - measured) < tolerance:
                pixel[n] = int(y) * width + int(x)
    return pixel


@njit(cache=True, nogil=True)
def _bounds(depth, rays, world_from_camera):
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            z = depth[y, x]
            if z > 0:
                for axis in range(3):
                    p = world_from_camera[axis, 3]
                    for k in range(3):
                        p += world_from_camera[axis, k] * rays[y, x, k] * z
                    low[axis], high[axis] = min(low[axis], p), max(high[axis], p)
    return low, high
