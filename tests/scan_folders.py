"""Writers of small scan folders, one for each layout that can be read.

images: (H,W,3) uint8 each
depths: (h,w) each, in metres or, as uint16, what the file shall hold; or None for no depth images
poses: (4,4) world_from_camera each
K: (3,3), its centre given for whole-numbered pixel centres, as in published files
"""

from pathlib import Path

import numpy as np
from PIL import Image

from geoset.geometry.ply import write_ply

# Names of frames, and where the intrinsics of colour and depth lie.
STYLES = {
    "plain": ("{:06d}", ("intrinsics.txt", "intrinsics.txt")),
    "sens_reader": ("{}", ("intrinsic/intrinsic_color.txt", "intrinsic/intrinsic_depth.txt")),
    "frames_25k": ("{:06d}", ("intrinsics_color.txt", "intrinsics_depth.txt")),
}


def write_folder_scan(
    path,
    images,
    depths,
    poses,
    K,
    *,
    style="plain",
    names=None,
    depth_K=None,
    suffix=".png",
    labels=None,
    instances=None,
    mesh=None,
):
    """Write `color/ depth/ pose/` and intrinsics; return `path`.

    style: a key of STYLES; "sens_reader" and "frames_25k" are ScanNet's two exports
    names: of the frames, instead of the style's numbering
    depth_K: intrinsics of depth where they differ (not in the plain style, which has one file)
    suffix: of colour images; ".jpg" loses a little, ".png" nothing
    labels, instances: (H,W) integers each, for `label/` and `instance/`
    mesh: a TriangleMesh for `mesh.ply`
    """
    path = Path(path)
    pattern, (color_file, depth_file) = STYLES[style]
    names = names or [pattern.format(k) for k in range(len(poses))]
    for name, image, pose in zip(names, images, poses, strict=True):
        write_image(path / f"color/{name}{suffix}", image)
        write_matrix(path / f"pose/{name}.txt", pose)
    for folder, pictures in (("depth", depths), ("label", labels), ("instance", instances)):
        if pictures is not None:
            for name, picture in zip(names, pictures, strict=True):
                write_raster(path / f"{folder}/{name}.png", picture)
    write_matrix(path / color_file, _as_exported(K, style))
    if depth_file != color_file:
        write_matrix(path / depth_file, _as_exported(K if depth_K is None else depth_K, style))
    if mesh is not None:
        write_ply(path / "mesh.ply", mesh)
    return path


def write_seven_scenes(path, images, depths, poses, K=None, *, sequence="seq-01", suffix=".png"):
    """Write frames of one sequence, and `camera-intrinsics.txt` unless K is None; return `path`.

    sequence: the folder of the frames, or "" for a sequence by itself
    """
    path = Path(path)
    for k, (image, depth, pose) in enumerate(zip(images, depths, poses, strict=True)):
        stem = path / sequence / f"frame-{k:06d}"
        write_image(stem.with_name(f"{stem.name}.color{suffix}"), image)
        write_raster(stem.with_name(f"{stem.name}.depth.png"), depth)
        write_matrix(stem.with_name(f"{stem.name}.pose.txt"), pose)
    if K is not None:
        write_matrix(path / "camera-intrinsics.txt", K)
    return path


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def write_raster(path, raster):
    """Write metres as 16-bit millimetres, and integers as they are, in 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if np.issubdtype(raster.dtype, np.floating):
        raster = np.round(raster * 1000)
    Image.fromarray(raster.astype(np.uint16)).save(path)


def write_matrix(path, matrix):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix, fmt="%.9f")


def _as_exported(K, style):
    """ScanNet's files are 4x4, others 3x3."""
    matrix = np.eye(3 if style == "plain" else 4)
    matrix[:3, :3] = K
    return matrix
