"""From a scan folder to a prepared scene."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import geoset
from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write, remove_partial
from geoset.geometry.camera import invert
from geoset.geometry.fusion import DepthView, fuse_depth
from geoset.geometry.mesh import TriangleMesh, drop_bad_faces
from geoset.geometry.oversegment import oversegment
from geoset.geometry.ply import write_ply
from geoset.geometry.raycast import Raycaster
from geoset.prepare.finished import check_finished
from geoset.prepare.pairs import mine_pairs, thin_pairs
from geoset.prepare.scene import FORMAT_VERSION, digest, write_layer
from geoset.prepare.store import StoredViews, store_views
from geoset.prepare.surface import Surface, working_surface
from geoset.prepare.views import View, make_view
from geoset.recipes import PrepareSettings
from geoset.scans.detect import open_scan
from geoset.scans.scan import Frame, FrameError, Scan, count_reasons

FULL_RATE_STEP = 25  # what the paper takes of ScanNet's 30 frames a second
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
    if folder.resolve() == scan_path.resolve():
        raise GeosetError(f"{out}: is where the scan {scan_path} lies; choose another OUT")
    wanted = json.loads(json.dumps(asdict(settings)))
    if (folder / "scene.json").is_file():
        info = check_finished(folder, scan_path, wanted)
        return SceneReport(folder.name, "finished before", info=info)
    for leftovers in (folder, folder / "sets"):
        remove_partial(leftovers)
    scan = open_scan(scan_path)
    frame_step = settings.frame_step or (FULL_RATE_STEP if scan.full_rate else 1)
    usable, rejected = scan.frames[::frame_step], list(scan.rejected)
    mesh, mesh_notes = _mesh_of(scan, settings, progress)
    with _naming(scan.path):
        surface = working_surface(mesh)
    progress("sets", 0, 1)
    labels = oversegment(surface.vertices, surface.faces, settings.threshold, settings.min_vertices)
    views = _views(usable, surface, settings, rejected, progress)
    stored = store_views(folder / "frames.tar", views, surface)
    if not stored.frames:
        reasons = "; ".join(f"{n} x {why}" for why, n in count_reasons(rejected).items())
        raise GeosetError(
            f"{scan_path}: no frame is left ({reasons}). See what it holds with: "
            f"geoset inspect {scan_path}"
        )
    progress("pairs", 0, 1)
    found, overlap = mine_pairs(stored.cells, settings.min_overlap)
    pairs, overlap = thin_pairs(found, overlap, settings.max_pairs_per_scene)
    files = _store_surface(folder, surface, stored, labels, settings, pairs, overlap)
    info = {
        "format_version": FORMAT_VERSION,
        "geoset_version": geoset.__version__,
        "scan": {
            "path": str(scan_path.resolve()),
            "layout": scan.layout,
            "frames": len(scan.frames),
            "frame_step": frame_step,
        },
        "settings": wanted,
        "has_depth": usable[0].read_depth is not None,
        "frames": stored.frames,
        "rejected": rejected,
        "surface": {
            "vertices": len(surface.vertices),
            "faces": len(surface.faces),
            "mesh_vertices": len(mesh.vertices),
            "offset": surface.offset.tolist(),
            **mesh_notes,
        },
        "sets": int(labels.max()) + 1,
        "pairs": {"found": len(found), "kept": len(pairs)},
        "files": files,
    }
    atomic_write(folder / "scene.json", json.dumps(info, indent=1, sort_keys=True))
    return SceneReport(folder.name, "prepared", info=info)


def _store_surface(
    folder: Path,
    surface: Surface,
    stored: StoredViews,
    labels: np.ndarray,
    settings: PrepareSettings,
    pairs: np.ndarray,
    overlap: np.ndarray,
) -> dict[str, dict]:
    """Write pairs, surface and sets; return sizes and checksums of the scene's files."""
    with atomic_path(folder / "pairs.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, pairs=pairs, overlap=overlap)
    colored = TriangleMesh(surface.vertices, surface.faces, stored.vertex_colors())
    write_ply(folder / "surface.ply", colored, {"source_vertex": surface.source_vertex})
    files = {name: digest(folder / name) for name in ("frames.tar", "surface.ply", "pairs.npz")}
    made_by = {"threshold": settings.threshold, "min_vertices": settings.min_vertices}
    write_layer(folder, "geometric", labels, files["surface.ply"]["sha256"], "scene", made_by)
    return files


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the scan in front of the errors of functions that know only its arrays."""
    try:
        yield
    except GeosetError as error:
        raise GeosetError(f"{path}: {error}") from error


def _mesh_of(
    scan: Scan, settings: PrepareSettings, progress: Progress
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
        except GeosetError:
            continue  # there is none, or it is rejected when its view is made
        views.append(
            DepthView(
                depth,
                frame.depth_camera,
                frame.world_from_camera @ invert(frame.depth_camera_from_camera),
            )
        )
    if not views:
        raise GeosetError(
            f"{scan.path}: has neither a mesh nor a readable depth image, so there is no surface. "
            "Put depth images into depth/, or a mesh.ply beside the frames"
        )
    progress("fusing depth", 0, 1)
    with _naming(scan.path):
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
