"""Views as they come, into `frames.tar`, with the notes that index, pairs and colours need."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numba
import numpy as np

from geoset.prepare import codec
from geoset.prepare.pairs import surface_cells
from geoset.prepare.residual import DepthThumbnail, depth_thumbnail
from geoset.prepare.surface import Surface
from geoset.prepare.views import View


@dataclass
class StoredViews:
    """What is kept in memory of views that lie in a tar file.

    frames: their entries in scene.json; cells: the surface cells that each sees
    depths: the depth image of each, made small; all 0 where there is none
    """

    vertex_count: int
    frames: list[dict] = field(default_factory=list)
    cells: list[np.ndarray] = field(default_factory=list)
    depths: list[DepthThumbnail] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.color_sum = np.zeros((self.vertex_count, 3), dtype=np.int64)
        self.color_count = np.zeros(self.vertex_count, dtype=np.int64)

    def add_colors(self, view: View) -> None:
        """Add a view's pixels to the colours of the vertices that they see."""
        _add_pixels(self.color_sum, self.color_count, view.vertex_map, view.image)

    def vertex_colors(self) -> np.ndarray:
        """Mean colour of the pixels that see each vertex; mid-grey where none does."""
        mean = self.color_sum / np.maximum(self.color_count, 1)[:, None]
        mean[self.color_count == 0] = 128
        return np.round(mean).astype(np.uint8)


def store_views(tar_path: Path, views: Iterator[tuple[str, View]], surface: Surface) -> StoredViews:
    """Write the views to a tar file, one after the other, and note what pairs and index need."""
    record = StoredViews(len(surface.vertices))
    cell_of_vertex = surface_cells(surface.vertices)
    cell_count = int(cell_of_vertex.max()) + 1
    with tarfile.open(tar_path, "w") as tar:
        for index, (name, view) in enumerate(views):
            parts = {"image": codec.encode_image(view.image)}
            if view.depth is not None:
                parts["depth"] = codec.encode_depth(view.depth)
            parts["vertex_map"] = codec.encode_vertex_map(view.vertex_map)
            members = {}
            for kind, data in parts.items():
                member = tarfile.TarInfo(f"{index:06d}.{codec.MEMBERS[kind]}")
                member.size = len(data)
                members[kind] = [tar.offset + tarfile.BLOCKSIZE, len(data)]
                tar.addfile(member, io.BytesIO(data))
            seen = np.zeros(cell_count, dtype=bool)
            seen[cell_of_vertex[view.vertex_map[view.vertex_map >= 0]]] = True
            record.cells.append(np.flatnonzero(seen))
            depth = np.zeros(view.vertex_map.shape) if view.depth is None else view.depth
            record.depths.append(depth_thumbnail(depth, view.camera, view.world_from_camera))
            record.add_colors(view)
            record.frames.append(_frame_entry(name, view, members))
    return record


@numba.njit(cache=True)
def _add_pixels(color_sum, color_count, vertex_map, image):
    height, width = vertex_map.shape
    for i in range(height):
        for j in range(width):
            vertex = vertex_map[i, j]
            if vertex >= 0:
                color_count[vertex] += 1
                for channel in range(3):
                    color_sum[vertex, channel] += image[i, j, channel]


def _frame_entry(name: str, view: View, members: dict) -> dict:
    seen = view.vertex_map >= 0
    has_depth = np.ones_like(seen) if view.depth is None else view.depth > 0
    return {
        "id": name,
        "K": view.camera.K.tolist(),
        "width": view.camera.width,
        "height": view.camera.height,
        "world_from_camera": view.world_from_camera.tolist(),
        "members": members,
        "with_depth": round(float(has_depth.mean()), 4),
        "covered": round(float(seen[has_depth].mean()), 4) if has_depth.any() else 0.0,
        "residual": round(view.residual, 5) if np.isfinite(view.residual) else None,
    }
