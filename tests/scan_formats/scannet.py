"""Writers of what ScanNet puts beside a scene's frames."""

import json
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from scan_formats.sens import write_sens

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
# Six vertices in three segments; two objects, one of two segments.
MESH = TriangleMesh(
    np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0]]),
    np.int32([[0, 1, 2], [3, 4, 5]]),
)
SEGMENTS = [700, 700, 12, 12, 90000, 90000]
OBJECTS = [(3, "chair", [12]), (8, "table", [90000])]


def pictures(count=4):
    """Images, depths and poses of small frames."""
    images = [np.full((30, 40, 3), 50 * k, np.uint8) for k in range(count)]
    depths = [np.full((30, 40), 1000 + k, np.uint16) for k in range(count)]
    return images, depths, [np.eye(4) + k * np.eye(4, k=3) for k in range(count)]


def write_scene(folder):
    """Write a scene with a .sens file of four frames; return its folder."""
    write_sens(folder / f"{folder.name}.sens", *pictures(), K)
    return folder


def write_surface(folder, mesh, *, scene=None, segments=None, objects=None, classes=None):
    """Write the mesh of a scene and labels of its vertices.

    scene: its name, by default the folder's
    segments: (V,) ids for segs.json
    objects: list of (objectId, label, segments) for aggregation.json
    classes: (V,) nyu40 ids for labels.ply
    """
    scene = scene or folder.name
    write_ply(folder / f"{scene}_vh_clean_2.ply", mesh)
    if segments is not None:
        content = {
            "params": {"kThresh": "0.0001", "segMinVerts": "20"},  # not always what was used
            "sceneId": scene,
            "segIndices": np.asarray(segments).tolist(),
        }
        (folder / f"{scene}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(content))
    if objects is not None:
        groups = [
            {"id": k, "objectId": number, "segments": list(members), "label": label}
            for k, (number, label, members) in enumerate(objects)
        ]
        content = {
            "sceneId": f"scannet.{scene}",
            "appId": "Aggregator.v2",
            "segGroups": groups,
            "segmentsFile": f"scannet.{scene}_vh_clean_2.0.010000.segs.json",
        }
        (folder / f"{scene}.aggregation.json").write_text(json.dumps(content))
    if classes is not None:
        labels = {"label": np.asarray(classes, np.uint16)}
        write_ply(folder / f"{scene}_vh_clean_2.labels.ply", mesh, labels)


def write_label_zip(path, images):
    """Write label images {frame number: (H,W) integers}: raw ids in 16 bits, instances in 8."""
    kind = path.stem.split("_2d-")[1]  # also the name of the folder in the archive
    dtype = np.uint16 if kind.startswith("label") else np.uint8
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(f"{kind}/", b"")
        for number, image in images.items():
            stream = BytesIO()
            Image.fromarray(image.astype(dtype)).save(stream, format="PNG")
            archive.writestr(f"{kind}/{number}.png", stream.getvalue())


def write_label_table(path, rows):
    """Write scannetv2-labels.combined.tsv: (raw id, raw category, nyu40 id) each."""
    lines = ["id\traw_category\tcategory\tcount\tnyu40id\teigen13id\tnyuClass\tnyu40class"]
    lines += [f"{raw}\t{name}\t{name}\t9\t{nyu40}\t\t{name}\t" for raw, name, nyu40 in rows]
    path.write_text("\n".join(lines) + "\n")
