"""Whole scans of three frames of 16x12 in every layout, with all that may come with them."""

import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import test_readers

from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from reference.empty_room import see, walk_around
from scan_folders import write_image, write_raster
from scan_formats.arkit import write_arkit
from scan_formats.nerfstudio import write_nerfstudio
from scan_formats.redwood import write_redwood
from scan_formats.scannetpp import write_dslr, write_iphone, write_mesh
from scan_formats.sens import write_sens

CAMERA = test_readers.CAMERA.resized(12, 16)
DEPTH_CAMERA = test_readers.CAMERA.resized(6, 8)
MESH = TriangleMesh(np.eye(4, 3, dtype=np.float32), np.array([[0, 1, 2], [1, 2, 3]], np.int32))


def tiny_scene():
    """Three frames of 16x12."""
    poses = walk_around(test_readers.SIZE, 3)
    depths, walls = zip(*(see(CAMERA, pose, test_readers.SIZE) for pose in poses), strict=True)
    images = [np.stack([40 * wall] * 3, -1).astype(np.uint8) for wall in walls]
    small = [see(DEPTH_CAMERA, pose, test_readers.SIZE)[0] for pose in poses]
    return test_readers.Scene(images, list(depths), small, poses, list(walls))


def masks(scene):
    return [image[..., 0] > 100 for image in scene.images]


def scannet_scene(path, scene):
    """A scene's folder with all that ScanNet publishes of it, and masks."""
    stem = path / "scene0000_00" / "scene0000_00"
    K = test_readers.for_integer_centres(CAMERA)
    for k, mask in enumerate(masks(scene)):
        write_image(stem.parent / f"mask/{k}.png", mask.astype(np.uint8))
        write_raster(path / f"{k}.png", scene.walls[k])
    options = {"depth_K": test_readers.for_integer_centres(DEPTH_CAMERA), "imu": bytes(50)}
    write_sens(Path(f"{stem}.sens"), scene.images, scene.small_depths, scene.poses, K, **options)
    write_ply(f"{stem}_vh_clean_2.ply", MESH)
    write_ply(f"{stem}_vh_clean_2.labels.ply", MESH, {"label": np.array([1, 50, 0, 3], np.uint16)})
    segments = Path(f"{stem}_vh_clean_2.0.010000.segs.json")
    segments.write_text(json.dumps({"segIndices": [7, 7, 2, 900]}))
    objects = [{"objectId": 0, "segments": [7, 900]}, {"objectId": 1, "segments": [2]}]
    Path(f"{stem}.aggregation.json").write_text(json.dumps({"segGroups": objects}))
    (stem.parent / "scannetv2-labels.combined.tsv").write_text("id\tnyu40id\n1\t2\n3\t40\n")
    for kind in ("label", "instance"):
        with zipfile.ZipFile(f"{stem}_2d-{kind}-filt.zip", "w") as archive:
            for k in range(3):
                archive.write(path / f"{k}.png", f"{kind}-filt/{k}.png")
    return stem.parent


def iphone(path, scene):
    options = {"distortion": (0.1, -0.02, 0.001, 0), "masks": masks(scene)}
    write_iphone(path, scene.images, scene.small_depths, scene.poses, CAMERA, **options)
    return write_mesh(path, MESH)


def dslr(path, scene):
    write_dslr(path, scene.images, scene.poses, CAMERA, masks=masks(scene))
    return write_mesh(path, MESH)


def nerfstudio_distorted(path, scene):
    options = {"masks": masks(scene), "per_frame": True, "k1": 0.1}
    return write_nerfstudio(path, scene.images, scene.depths, scene.poses, CAMERA, **options)


def redwood_mesh(path, scene):
    return write_redwood(path, scene.images, scene.depths, scene.poses, mesh=MESH)


def arkit_mesh(path, scene):
    return write_arkit(path, scene.images, scene.depths, scene.poses, CAMERA.K, mesh=MESH)


RICHER = (scannet_scene, iphone, dslr, nerfstudio_distorted, redwood_mesh, arkit_mesh)
CASES = {writer.__name__: writer for writer in (*test_readers.WRITERS, *RICHER)}


@cache
def template(case):
    """Return the files of a whole scan, {path: bytes}, and where among them the scan is."""
    test_readers.CAMERA, test_readers.DEPTH_CAMERA = CAMERA, DEPTH_CAMERA  # of a worker
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        scan = CASES[case](root, tiny_scene())
        files = [file for file in root.rglob("*") if file.is_file()]
        contents = {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
        return contents, scan.relative_to(root)
