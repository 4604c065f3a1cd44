"""More layers for a prepared scene: other thresholds, labels of its vertices, label images."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.files import digest
from geoset.geometry.oversegment import oversegment
from geoset.geometry.ply import read_ply_properties
from geoset.prepare.label_images import vote_from_images
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.prepare.stamped import array_names, read_stamp
from geoset.prepare.storage import Folder
from geoset.recipes import LayerSettings

LARGEST_LABEL = 2**31 - 1
SCOPE_OF_IMAGES = {"semantic": "global", "instance": "scene"}


@dataclass(frozen=True)
class LayerReport:
    """What became of one layer of one scene.

    status: "made", "finished before" or "failed"
    labelled: share of the vertices that are in a set; made_by: what the stamp says
    skipped: frames that did not take part, by reason
    """

    scene: str
    layer: str
    status: str
    error: str = ""
    sets: int = 0
    labelled: float = 0.0
    made_by: dict = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


def make_layers(scene: PreparedScene, settings: LayerSettings) -> list[LayerReport]:
    """Add the layers asked for to a scene, and leave those that it has.

    Raises:
        GeosetError: labels are missing or do not fit, or a layer of the name is made otherwise.
    """
    if settings.labels is not None:
        return [_from_labels(scene, settings)]
    if settings.images is not None:
        return [_from_images(scene, settings)]
    return [_from_threshold(scene, value, settings.min_vertices) for value in settings.threshold]


def _from_threshold(scene: PreparedScene, threshold: float, min_vertices: int) -> LayerReport:
    name = f"geometric-{threshold:g}" + (f"-{min_vertices}" if min_vertices != 20 else "")
    made_by = {"threshold": threshold, "min_vertices": min_vertices}
    if _is_done(scene, name, "scene", made_by):
        return _report(scene, name, "finished before")
    labels = oversegment(scene.vertices, scene.faces, threshold, min_vertices)
    return _store(scene, name, labels, "scene", made_by)


def _from_labels(scene: PreparedScene, settings: LayerSettings) -> LayerReport:
    file, scope = settings.labels / f"{scene.name}.npy", settings.scope or "scene"
    if not file.is_file():
        raise GeosetError(f"{file}: no such file; expected one .npy a scene, called as the scene")
    made_by = {"labels": digest(file)["sha256"]}
    if _is_done(scene, settings.name, scope, made_by):
        return _report(scene, settings.name, "finished before")
    return _store(scene, settings.name, read_vertex_labels(file, scene), scope, made_by)


def _from_images(scene: PreparedScene, settings: LayerSettings) -> LayerReport:
    name, scope = settings.name or settings.images, SCOPE_OF_IMAGES[settings.images]
    made_by = {"images": settings.images}
    if _is_done(scene, name, scope, made_by):
        return _report(scene, name, "finished before")
    vote, skipped = vote_from_images(scene, settings.images)
    figures = {"voted": vote.voted, "tied": vote.tied, "support": round(vote.support, 4)}
    return _store(scene, name, vote.labels, scope, made_by | figures, skipped)


def drop_layers_of_before(folder: Folder, surface_sha256: str) -> dict[str, str]:
    """Remove the layers that are untrue of a scan prepared anew; return a note on each, by name.

    They are those of another surface, and the scan's own labels, of its mesh or its label images.
    """
    notes = {}
    for name in array_names(folder, "sets"):
        try:
            keys = ("surface_sha256", "made_by")
            before, made_by = read_stamp(folder, f"sets/{name}", keys).values()
        except GeosetError:
            before, made_by = "", {}  # half written
        if before != surface_sha256 or "images" in made_by or "file" in made_by:
            folder.remove(f"sets/{name}.npy")
            folder.remove(f"sets/{name}.json")
            what = "labels" if before == surface_sha256 else "surface"
            notes[name] = f"layer '{name}' was of the {what} before; make it again"
    return notes


def read_vertex_labels(file: Path, scene: PreparedScene) -> np.ndarray:
    """Read one integer a vertex from a .npy file, (V,) int32 for the scene's surface.

    Labels of the mesh that came with the scan are carried over by `source_vertex`.

    Raises:
        GeosetError: naming what the file holds and what fits.
    """
    try:
        labels = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise GeosetError(f"{file}: cannot be read ({error}); write it with numpy.save") from error
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise GeosetError(
            f"{file}: holds {labels.dtype} of shape {labels.shape}, expected one integer a vertex, "
            "(V,), -1 = none"
        )
    with scene.file("surface.ply") as surface:
        source = read_ply_properties(surface)["source_vertex"]
    # Of scenes that do not say it, the mesh has at least as many vertices as are named.
    original = scene.info["surface"].get("mesh_vertices", int(source.max()) + 1)
    if len(labels) not in (len(source), original):
        raise GeosetError(
            f"{file}: has {len(labels)} labels, expected {len(source)}, one for each vertex of "
            f"{scene.path}/surface.ply, or {original}, one for each of the mesh it was made from"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high > LARGEST_LABEL:
        raise GeosetError(
            f"{file}: has labels from {low} to {high}, expected -1 (none) to {LARGEST_LABEL}; "
            "renumber them"
        )
    return (labels if len(labels) == len(source) else labels[source]).astype(np.int32)


def _is_done(scene: PreparedScene, name: str, scope: str, made_by: dict) -> bool:
    """Tell whether the layer is there, whole, and made as asked.

    Raises:
        GeosetError: it was made otherwise.
    """
    try:
        stamp = scene.layer_stamp(name)
        scene.sets(name)
    except GeosetError:
        return False  # absent, half written, or of another surface
    if stamp["scope"] == scope and made_by.items() <= stamp["made_by"].items():
        return True
    raise GeosetError(
        f"{scene.path}: layer '{name}' was made by {stamp['made_by']} with scope {stamp['scope']}, "
        f"now asked by {made_by} with scope {scope}. Choose another --name, or remove "
        f"{scene.path}/sets/{name}.*"
    )


def _store(
    scene: PreparedScene,
    name: str,
    labels: np.ndarray,
    scope: str,
    made_by: dict,
    skipped: dict[str, int] | None = None,
) -> LayerReport:
    surface = scene.info["files"]["surface.ply"]["sha256"]
    write_layer(scene.path, name, labels, surface, scope, made_by)
    return _report(scene, name, "made", skipped or {})


def _report(
    scene: PreparedScene, name: str, status: str, skipped: dict[str, int] | None = None
) -> LayerReport:
    scene = PreparedScene(scene.path)
    labels = scene.sets(name)
    return LayerReport(
        scene.name,
        name,
        status,
        sets=len(np.unique(labels[labels >= 0])),
        labelled=float((labels >= 0).mean()),
        made_by=scene.layer_stamp(name)["made_by"],
        skipped=skipped or {},
    )
