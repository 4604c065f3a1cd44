"""From a scan folder to a prepared scene."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import geoset
from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write, remove_partial
from geoset.geometry.fusion import DepthView, fuse_depth
from geoset.geometry.mesh import TriangleMesh, drop_bad_faces
from geoset.geometry.oversegment import oversegment
from geoset.geometry.ply import write_ply
from geoset.geometry.raycast import Raycaster
from geoset.prepare import codec
from geoset.prepare.pairs import mine_pairs, surface_cells, thin_pairs
from geoset.prepare.scene import FORMAT_VERSION, digest, read_scene_info, write_layer
from geoset.prepare.surface import Surface, working_surface
from geoset.prepare.views import View, make_view
from geoset.recipes import PrepareSettings
from geoset.scans.detect import open_scan
from geoset.scans.scan import Frame, FrameError, Scan, count_reasons

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


@dataclass
class SceneReport:
    """What became of one scan."""

    scene: str
    status: str  # "prepared", "finished before", or "failed"
    error: str = ""
    info: dict = field(default_factory=dict)  # scene.json


def prepare_scene(
    scan_path: Path,
    out: Path,
    settings: PrepareSettings,
    progress: Progress = lambda what, done, total: None,
) -> SceneReport:
    """Prepare one scan into the folder `out`/<scan name>; do nothing if that is finished.

    Raises:
        GeosetError: the scan cannot be used, or `out` holds it prepared with other settings.
    """
    folder = out / scan_path.resolve().name
    wanted = json.loads(json.dumps(asdict(settings)))
    if (folder / "scene.json").is_file():
        info = read_scene_info(folder)
        different = [key for key in wanted if info["settings"].get(key) != wanted[key]]
        if different:
            key = different[0]
            raise GeosetError(
                f"{folder}: was prepared with {key} = {info['settings'].get(key)}, now asked with "
                f"{wanted[key]}. Choose another OUT, or remove the folder to prepare it again"
            )
        return SceneReport(folder.name, "finished before", info=info)
    remove_partial(folder)
    scan = open_scan(scan_path)
    usable, rejected = scan.frames[:: settings.frame_step], list(scan.rejected)
    mesh, mesh_notes = _mesh_of(scan, settings, rejected, progress)
    surface = working_surface(mesh)
    progress("sets", 0, 1)
    labels = oversegment(surface.vertices, surface.faces, settings.threshold, settings.min_vertices)
    views = _views(usable, surface, settings, rejected, progress)
    record = _store_views(folder / "frames.tar", views, surface)
    if not record.frames:
        reasons = "; ".join(f"{n} x {why}" for why, n in count_reasons(rejected).items())
        raise GeosetError(
            f"{scan_path}: no frame is left ({reasons}). See what it holds with: "
            f"geoset inspect {scan_path}"
        )
    progress("pairs", 0, 1)
    pairs, overlap = mine_pairs(record.cells, settings.min_overlap)
    found_pairs = len(pairs)
    pairs, overlap = thin_pairs(pairs, overlap, settings.max_pairs_per_scene)
    with atomic_path(folder / "pairs.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, pairs=pairs, overlap=overlap)
    colored = TriangleMesh(surface.vertices, surface.faces, record.vertex_colors())
    write_ply(folder / "surface.ply", colored, {"source_vertex": surface.source_vertex})
    files = {name: digest(folder / name) for name in ("frames.tar", "surface.ply", "pairs.npz")}
    made_by = {"threshold": settings.threshold, "min_vertices": settings.min_vertices}
    surface_sha256 = files["surface.ply"]["sha256"]
    write_layer(folder, "geometric", labels, surface_sha256, "scene", made_by)
    info = {
        "format_version": FORMAT_VERSION,
        "geoset_version": geoset.__version__,
        "scan": {"name": scan.name, "layout": scan.layout, "frames": len(scan.frames)},
        "settings": wanted,
        "has_depth": usable[0].read_depth is not None,
        "frames": record.frames,
        "rejected": rejected,
        "surface": {
            "vertices": len(surface.vertices),
            "faces": len(surface.faces),
            "offset": surface.offset.tolist(),
            **mesh_notes,
        },
        "sets": int(labels.max()) + 1,
        "pairs": {"found": found_pairs, "kept": len(pairs)},
        "files": files,
    }
    atomic_write(folder / "scene.json", json.dumps(info, indent=1, sort_keys=True))
    return SceneReport(folder.name, "prepared", info=info)


def _mesh_of(
    scan: Scan, settings: PrepareSettings, rejected: list[tuple[str, str]], progress: Progress
) -> tuple[TriangleMesh, dict]:
    """Return the scan's mesh, or one fused from its depth, and notes on where it came from."""
    if scan.mesh is not None:
        mesh, dropped = drop_bad_faces(scan.mesh, f"{scan.path} (its mesh)")
        return mesh, {"source": "mesh of the scan", **dropped}
    step = -(-len(scan.frames) // settings.max_fusion_frames)
    views, frames = [], scan.frames[::step]
    for index, frame in enumerate(frames):
        progress("reading depth", index, len(frames))
        try:
            depth = frame.depth()
        except FrameError:
            continue  # rejected, with its reason, when its view is made
        views.append(
            DepthView(
                depth,
                frame.depth_camera,
                frame.world_from_camera @ np.linalg.inv(frame.depth_camera_from_camera),
            )
        )
    if not views:
        raise GeosetError(
            f"{scan.path}: has neither a mesh nor a readable depth image, so there is no surface. "
            "Put depth images into depth/, or a mesh.ply beside the frames"
        )
    progress("fusing depth", 0, 1)
    fused = fuse_depth(views, settings.fusion)
    notes = {"source": "fused depth", "voxel_size": fused.voxel_size, "specks": fused.specks}
    return fused.mesh, {**notes, "fused_frames": len(views)}


def _views(
    frames: list[Frame],
    surface: Surface,
    settings: PrepareSettings,
    rejected: list[tuple[str, str]],
    progress: Progress,
) -> Iterator[tuple[str, View]]:
    """Yield each usable frame's view; append the others to `rejected`."""
    raycaster = Raycaster(TriangleMesh(surface.vertices, surface.faces))
    for index, frame in enumerate(frames):
        progress("frames", index, len(frames))
        try:
            view = make_view(
                frame, raycaster, surface.offset, settings.image_size, settings.fill_holes
            )
        except FrameError as error:
            rejected.append((frame.name, error.reason))
            continue
        if view.depth is not None and not view.depth.any():
            rejected.append((frame.name, "no valid depth"))
        elif not (view.vertex_map >= 0).any():
            rejected.append((frame.name, "sees no surface where its depth agrees"))
        else:
            yield frame.name, view


@dataclass
class _Record:
    """What is kept in memory of the views that were stored."""

    vertex_count: int
    frames: list[dict] = field(default_factory=list)
    cells: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.color_sum = np.zeros((self.vertex_count, 3))
        self.color_count = np.zeros(self.vertex_count, dtype=np.int64)

    def add_colors(self, view: View) -> None:
        seen = view.vertex_map >= 0
        vertex = view.vertex_map[seen]
        self.color_count += np.bincount(vertex, minlength=self.vertex_count)
        for channel in range(3):
            weights = view.image[..., channel][seen]
            self.color_sum[:, channel] += np.bincount(vertex, weights, self.vertex_count)

    def vertex_colors(self) -> np.ndarray:
        """Mean colour of the pixels that see each vertex; mid-grey where none does."""
        mean = self.color_sum / np.maximum(self.color_count, 1)[:, None]
        mean[self.color_count == 0] = 128
        return np.round(mean).astype(np.uint8)


def _store_views(tar_path: Path, views: Iterator[tuple[str, View]], surface: Surface) -> _Record:
    """Write the views to a tar file, one after the other, and note what pairs and index need."""
    record = _Record(len(surface.vertices))
    cell_of_vertex = surface_cells(surface.vertices)
    with atomic_path(tar_path) as temporary, tarfile.open(temporary, "w") as tar:
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
            seen = view.vertex_map[view.vertex_map >= 0]
            record.cells.append(np.unique(cell_of_vertex[seen]))
            record.add_colors(view)
            record.frames.append(_frame_entry(name, view, members))
    return record


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
