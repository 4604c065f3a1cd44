"""Labels that ScanNet brings for the vertices of `<scene>_vh_clean_2.ply`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.ply import count_vertices, read_ply_properties
from geoset.scans.decode import read_json
from geoset.scans.scan import SurfaceLabels

SEGMENTS = "_vh_clean_2.0.010000.segs.json"
OBJECTS = ".aggregation.json"
CLASSES = "_vh_clean_2.labels.ply"
NYU40_CLASSES = 40
LARGEST_ID = 2**31 - 1


def read_surface_labels(
    folder: Path, scene: str, mesh: Path
) -> tuple[dict[str, SurfaceLabels], list[str]]:
    """Return the labellings of `mesh` that are there, and notes on what cannot be used.

    "official" are the sets that ScanNet publishes, by their ids there; "instance" is objectId;
    "semantic" are the nyu40 ids 1 to 40.
    """
    layers: dict[str, SurfaceLabels] = {}
    notes: list[str] = []

    def add(layer: str, scope: str, file: Path, read: Callable[[Path], np.ndarray]) -> None:
        if not file.is_file():
            return
        try:
            labels, vertices = read(file), count_vertices(mesh)
            if len(labels) != vertices:
                raise GeosetError(
                    f"{file}: has {len(labels)} labels, but {mesh} {vertices} vertices"
                )
        except GeosetError as error:
            notes.append(f"layer '{layer}' is left out: {error}")
        else:
            layers[layer] = SurfaceLabels(labels.copy, scope, file.name)

    add("official", "scene", folder / f"{scene}{SEGMENTS}", _read_segments)
    read_objects = partial(_read_objects, layers.get("official"))
    add("instance", "scene", folder / f"{scene}{OBJECTS}", read_objects)
    add("semantic", "global", folder / f"{scene}{CLASSES}", partial(_read_classes, notes))
    return layers, notes


def _read_segments(file: Path) -> np.ndarray:
    """Return the segment of each vertex, (V,) int32.

    What the file says of how they were made is not read: it may be untrue.
    """
    content = read_json(file)
    return _ids(file, content.get("segIndices") if isinstance(content, dict) else None)


def _read_objects(segments: SurfaceLabels | None, file: Path) -> np.ndarray:
    """Return the object of each vertex, (V,) int32, -1 = none.

    Of objects that share a segment the last has it, as in ScanNet's own tools.
    """
    if segments is None:
        raise GeosetError(f"{file}: is made of the segments in ...{SEGMENTS}, which cannot be used")
    content = read_json(file)
    groups = content.get("segGroups") if isinstance(content, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise GeosetError(f"{file}: has no list segGroups of objects. Take it from ScanNet again")
    ids, segment_of_vertex = np.unique(segments.read(), return_inverse=True)
    object_of_segment = np.full(len(ids), -1, np.int32)
    for group in groups:
        members = np.isin(ids, _ids(file, group.get("segments")))
        object_of_segment[members] = _ids(file, [group.get("objectId")])[0]
    return object_of_segment[segment_of_vertex]


def _ids(file: Path, values: object) -> np.ndarray:
    """Return a list of JSON as int32, if it is one of ids."""
    if isinstance(values, list) and all(type(v) is int and 0 <= v <= LARGEST_ID for v in values):
        return np.array(values, np.int32)
    raise GeosetError(
        f"{file}: expected lists of whole numbers from 0 to {LARGEST_ID} (segIndices, segments, "
        "objectId). Take the file from ScanNet again"
    )


def _read_classes(notes: list[str], file: Path) -> np.ndarray:
    """Return the nyu40 id of each vertex, (V,) int32, -1 = none; others are noted."""
    labels = read_ply_properties(file).get("label")
    if labels is None or labels.dtype.kind not in "iu":
        raise GeosetError(f"{file}: its vertices have no property 'label' of whole numbers")
    labels = labels.astype(np.int64)
    unknown = (labels < 0) | (labels > NYU40_CLASSES)
    if unknown.any():
        ids = ", ".join(map(str, np.unique(labels[unknown])[:5]))
        notes.append(
            f"layer 'semantic': {unknown.sum()} of {len(labels)} vertices have no class, being "
            f"labelled {ids} in {file.name} (expected 0 to {NYU40_CLASSES})"
        )
    return np.where(unknown | (labels == 0), -1, labels).astype(np.int32)
