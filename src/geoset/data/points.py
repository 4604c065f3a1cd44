"""The coloured surface around each view, as voxels, and which pixels see which of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.geometry.voxels import Voxels, depth_box, voxelize
from geoset.prepare.scene import PreparedScene, look_up

PROJECTION_TOLERANCE = 0.2  # metres between a voxel's centre and the depth of its pixel
MATCHES = ("visible", "projection")


class PointBatch(NamedTuple):
    """The N voxels around V views, one view after the other, and S samples of matches a view.

    voxels: (N,3) int32, cells counted from the low corner of the view's box
    colors: (N,3) float32 in 0..1
    view: (N,) int64, the view whose surroundings a voxel belongs to
    pixel: (V,S,2) int64, (x, y) of the pixel that sees a sampled voxel
    voxel: (V,S) int64, which of the N it is
    count: (V,) int64, samples of each view; those beyond are padding, valid indices without meaning
    """

    voxels: Tensor
    colors: Tensor
    view: Tensor
    pixel: Tensor
    voxel: Tensor
    count: Tensor


class PointSampler:
    """Cuts voxels around views of prepared scenes, and samples which pixels see which.

    A view's voxels are those in its box: the bounding box, along the axes of the world, of its
    depth, or without depth of the voxels it sees, widened to whole metres (Pri3D). A box that
    holds none gives way to the metre around the voxel nearest to the camera, so that no view is
    empty. The voxels of a scene are made at its first view and kept, 15 bytes each and 4 a vertex.
    Surfaces whose vertices lie further apart than a voxel's edge have one voxel a vertex.

    matches: "visible" takes the voxels that the view's pixels see, through the vertex map, each
        with one of its pixels, drawn uniformly; "projection" is Pri3D's rule, voxels whose centre
        lands on a pixel with a depth less than 0.2 m from its own, with that pixel
    samples: a view, drawn uniformly from its matches, never one twice; fewer matches are padded
    voxel_size: metres, the edge of a voxel; Pri3D's, or larger to train on a CPU

    Raises:
        GeosetError: an argument is not one of those offered, or `matches` needs depth images that
            a scene does not have.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        matches: str = "visible",
        samples: int = 1024,
        voxel_size: float = 0.02,
    ) -> None:
        if matches not in MATCHES:
            raise GeosetError(
                f"matches='{matches}' is unknown; choose one of: {', '.join(MATCHES)}"
            )
        if samples < 1:
            raise GeosetError(f"samples={samples}: expected at least 1; 1024 is usual")
        if not voxel_size > 0:
            raise GeosetError(
                f"voxel_size={voxel_size}: expected a positive number of metres; 0.02 is usual"
            )
        without = [scene.name for scene in scenes if not scene.has_depth]
        if matches == "projection" and without:
            raise GeosetError(
                f"matches='projection' compares depths, and scene {without[0]} was prepared from a "
                "scan without depth images; use matches='visible'"
            )
        self.scenes, self.matches = scenes, matches
        self.samples, self.voxel_size = samples, voxel_size
        self._voxels: dict[int, Voxels] = {}

    def batch(self, views: np.ndarray, depth: np.ndarray, seed: Sequence[int]) -> PointBatch:
        """Return the points of V views, each a function of the view and of `seed` only.

        views: (V,2) integers, scene and frame
        depth: (V,H,W) float32 metres, 0 = none
        seed: integers of 0 or more
        """
        parts = [
            self._view(scene, frame, view_depth, np.random.default_rng((*seed, scene, frame)))
            for (scene, frame), view_depth in zip(views.tolist(), depth, strict=True)
        ]
        voxels, colors, pixel, voxel, count = zip(*parts, strict=True)
        sizes = np.array([len(cells) for cells in voxels])
        starts = np.cumsum(sizes) - sizes
        pixel = np.stack(pixel)
        width = depth.shape[2]
        return PointBatch(
            voxels=torch.from_numpy(np.concatenate(voxels)),
            colors=torch.from_numpy(np.concatenate(colors)) / 255,
            view=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
            pixel=torch.from_numpy(np.stack([pixel % width, pixel // width], axis=-1)),
            voxel=torch.from_numpy(np.stack(voxel) + starts[:, None]),
            count=torch.tensor(count),
        )

    def _view(
        self, scene: int, frame: int, depth: np.ndarray, generator: np.random.Generator
    ) -> tuple:
        """Return the voxels (n,3) and colours (n,3) of a view, and pixel (S,), voxel (S,), count.

        Pixels are numbered row by row, voxels within the n.
        """
        prepared, voxels = self.scenes[scene], self._voxels_of(scene)
        camera, pose = prepared.camera(frame), prepared.world_from_camera(frame)
        low, high = depth_box(depth, camera, pose)
        without_depth = low[0] > high[0]
        if self.matches == "visible" or without_depth:
            seen = look_up(voxels.of_vertex, prepared.vertex_map(frame)).ravel()
        if without_depth and (seen >= 0).any():
            centers = voxels.centers(seen[seen >= 0])
            low, high = centers.min(axis=0), centers.max(axis=0)
        index, corner = _surroundings(voxels, low, high, pose[:3, 3])

        if self.matches == "visible":
            pixel_of_voxel = _random_pixels(seen, len(voxels.cells), generator)[index]
        else:
            pixel_of_voxel = voxels.landings(index, camera, pose, depth, PROJECTION_TOLERANCE)
        matched = np.flatnonzero(pixel_of_voxel >= 0)
        count = min(self.samples, len(matched))
        voxel, pixel = np.zeros((2, self.samples), dtype=np.int64)
        voxel[:count] = generator.choice(matched, count, replace=False)
        pixel[:count] = pixel_of_voxel[voxel[:count]]
        cells = voxels.cells.take(index, axis=0) - corner
        return cells, voxels.colors.take(index, axis=0), pixel, voxel, count

    def _voxels_of(self, scene: int) -> Voxels:
        if scene not in self._voxels:
            # Read apart from the scene, which would keep its whole mesh.
            surface = PreparedScene(self.scenes[scene].path)
            self._voxels[scene] = voxelize(surface.vertices, surface.colors, self.voxel_size)
        return self._voxels[scene]


def _surroundings(
    voxels: Voxels, low: np.ndarray, high: np.ndarray, camera_center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels (n,) in the box widened to whole metres, and its corner, a cell (3,)."""
    low, high = np.floor(low), np.ceil(high)
    index = voxels.inside(low, high)
    if not len(index):
        low = np.floor(voxels.nearest(camera_center))
        index = voxels.inside(low, low + 1)
    return index, voxels.first_cell(low).astype(np.int32)


def _random_pixels(seen: np.ndarray, voxels: int, generator: np.random.Generator) -> np.ndarray:
    """Return for each voxel one of the pixels (H*W,) that see it, or -1, (voxels,)."""
    pixels = generator.permutation(np.flatnonzero(seen >= 0))
    pixel_of_voxel = np.full(voxels, -1)
    pixel_of_voxel[seen[pixels]] = pixels  # of several the last, as random as their order
    return pixel_of_voxel
