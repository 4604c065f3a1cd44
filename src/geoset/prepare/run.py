"""From a scan folder to a prepared scene."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import geoset
from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write, digest, remove_partial
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.oversegment import oversegment
from geoset.geometry.ply import write_ply
from geoset.geometry.raycast import Raycaster
from geoset.prepare.finished import OutdatedError, check_finished, scan_fingerprint
from geoset.prepare.layers import drop_layers_of_before
from geoset.prepare.pairs import choose_pairs
from geoset.prepare.scan_surface import Progress, scan_surface
from geoset.prepare.scene import FORMAT_VERSION, write_layer
from geoset.prepare.storage import LocalFolder
from geoset.prepare.store import store_views
from geoset.prepare.surface import Surface
from geoset.prepare.views import View, make_view
from geoset.recipes import PrepareSettings
from geoset.scans.detect import open_scan
from geoset.scans.scan import Frame, FrameError, Scan, count_reasons, scan_name

FILES = ("frames.tar", "surface.ply", "pairs.npz")
FULL_RATE_STEP = 25  # what the paper takes of ScanNet's 30 frames a second


@dataclass
class SceneReport:
    """What became of one scan."""

    scene: str
    status: str  # "prepared" or "finished before"
    info: dict  # scene.json


def prepare_scene(
    scan_path: Path,
    out: Path,
    settings: PrepareSettings,
    progress: Progress = lambda what, done, total: None,
) -> SceneReport:
    """Prepare one scan into the folder `out`/<scan name>; do nothing if that is finished.

    A finished scene that is outdated is prepared again; it is kept if the scan turns out to be of
    no use.

    Raises:
        GeosetError: the scan cannot be used, or `out` holds it prepared with other settings.
    """
    refuse_inside(scan_path, out)
    folder = out / scan_name(scan_path)
    wanted = json.loads(json.dumps(asdict(settings)))
    if (folder / "scene.json").is_file():
        try:
            info = check_finished(folder, scan_path, wanted)
        except OutdatedError:
            pass
        else:
            return SceneReport(folder.name, "finished before", info)
    fingerprint = scan_fingerprint(scan_path)  # before reading: what changes meanwhile is noticed
    for leftovers in (folder, folder / "sets"):
        remove_partial(leftovers)
    try:
        info = _prepare(open_scan(scan_path), folder, settings, progress)
    except GeosetError as error:
        if (folder / "scene.json").is_file():
            raise GeosetError(f"{error}. What was prepared of it before is kept") from error
        raise
    info["settings"], info["scan"]["fingerprint"] = wanted, fingerprint
    atomic_write(folder / "scene.json", json.dumps(info, indent=1, sort_keys=True))
    return SceneReport(folder.name, "prepared", info)


def refuse_inside(scan: Path, out: Path) -> None:
    """Raise GeosetError if what goes into `out` would be written into the scan."""
    here, there = scan.resolve(), out.resolve()
    if there.is_relative_to(here):
        raise GeosetError(f"{out}: is inside the scan {scan}; choose another OUT")
    if there / scan_name(scan) == here:
        raise GeosetError(f"{out}: is where the scan {scan} lies; choose another OUT")


def _prepare(scan: Scan, folder: Path, settings: PrepareSettings, progress: Progress) -> dict:
    """Write a scene's files but for scene.json, and return what that shall say."""
    frame_step = settings.frame_step or (FULL_RATE_STEP if scan.full_rate else 1)
    frames, rejected = scan.frames[::frame_step], list(scan.rejected)
    surface, of_surface = scan_surface(scan, frame_step, settings, progress)
    progress("sets", 0, 1)
    sets = oversegment(surface.vertices, surface.faces, settings.threshold, settings.min_vertices)
    views = _views(frames, surface, settings, rejected, progress)
    with ExitStack() as stack:

        def temporary(name: str) -> Path:
            return stack.enter_context(atomic_path(folder / name))

        stored = store_views(temporary("frames.tar"), views, surface)
        if not stored.frames:
            reasons = "; ".join(f"{n} x {why}" for why, n in count_reasons(rejected).items())
            raise GeosetError(
                f"{scan.path}: no frame is left ({reasons}). See what it holds with: "
                f"geoset inspect {scan.path}"
            )
        progress("pairs", 0, 1)
        pairs, of_pairs = choose_pairs(stored.cells, stored.depths, settings)
        progress("storing", 0, 1)
        _store_arrays(temporary, surface, stored.vertex_colors(), pairs)
        # Last of all: until here, the folder is the scene that it was before.
        (folder / "scene.json").unlink(missing_ok=True)
    files = {name: digest(folder / name) for name in FILES}
    stamp = files["surface.ply"]["sha256"]
    made_by = {"threshold": settings.threshold, "min_vertices": settings.min_vertices}
    write_layer(folder, "geometric", sets, stamp, "scene", made_by)
    dropped = drop_layers_of_before(LocalFolder(folder), stamp)
    notes = scan.notes + _store_scan_labels(folder, scan, surface, stamp)
    notes += [dropped[name] for name in dropped if not (folder / f"sets/{name}.npy").is_file()]
    return {
        "format_version": FORMAT_VERSION,
        "geoset_version": geoset.__version__,
        "scan": {
            "path": str(scan.path.resolve()),
            "layout": scan.layout,
            "frames": len(scan.frames),
            "frame_step": frame_step,
        },
        "has_depth": frames[0].read_depth is not None,
        "frames": stored.frames,
        "rejected": rejected,
        "surface": of_surface,
        "sets": int(sets.max()) + 1,
        "pairs": of_pairs,
        "files": files,
        "notes": notes,
    }


def _store_arrays(
    temporary: Callable[[str], Path],
    surface: Surface,
    colors: np.ndarray,
    pairs: dict[str, np.ndarray],
) -> None:
    """Write pairs and surface; `temporary`: the file to write for a name."""
    with temporary("pairs.npz").open("wb") as stream:
        np.savez(stream, **pairs)
    colored = TriangleMesh(surface.vertices, surface.faces, colors)
    write_ply(temporary("surface.ply"), colored, {"source_vertex": surface.source_vertex})


def _store_scan_labels(folder: Path, scan: Scan, surface: Surface, stamp: str) -> list[str]:
    """Write the labels that came with the scan's mesh as layers; return notes on what is amiss."""
    notes = []
    for name, given in scan.surface_labels.items() if scan.mesh is not None else ():
        try:
            labels = given.read()
        except GeosetError as error:
            notes.append(f"no layer '{name}': {error}")
            continue
        if labels.shape != (len(scan.mesh.vertices),):
            notes.append(
                f"no layer '{name}': {given.source} has {len(labels)} labels, expected one for "
                f"each of the mesh's {len(scan.mesh.vertices)} vertices"
            )
            continue
        carried = labels[surface.source_vertex].astype(np.int32)
        write_layer(folder, name, carried, stamp, given.scope, {"file": given.source})
    return notes


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
                frame,
                raycaster,
                surface.offset,
                settings.image_size,
                settings.fill_holes,
                settings.depth_edges,
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
