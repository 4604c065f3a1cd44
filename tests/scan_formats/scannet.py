"""Writers of what ScanNet puts beside a scene's frames."""

import json
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

from geoset.geometry.ply import write_ply


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
