"""Writer of ScanNet++ scenes."""

from pathlib import Path

import numpy as np

from geoset.geometry.ply import write_ply
from scan_folders import write_image, write_raster
from scan_formats.colmap import write_colmap
from scan_formats.nerfstudio import edit_json

FISHEYE = "OPENCV_FISHEYE 1752 1168 789.5 791.2 879.6 584.6 -0.029 -0.006 -0.0009 0.0003"


def write_iphone(path, images, depths, poses, camera, *, distortion=(0, 0, 0, 0), masks=None):
    """Write `iphone/`, with every tenth frame of a video registered; return `path`.

    depths: or None for no depth images
    distortion: k1, k2, p1, p2
    masks: (H,W) bool each, True where pixels must not be used
    """
    path = Path(path)
    names = [f"frame_{10 * k:06d}" for k in range(len(poses))]
    for k, name in enumerate(names):
        write_image(path / f"iphone/rgb/{name}.jpg", images[k])
        if depths is not None:
            write_raster(path / f"iphone/depth/{name}.png", depths[k])
        if masks is not None:
            _write_mask(path / f"iphone/rgb_masks/{name}.png", masks[k])
    K = camera.K
    numbers = " ".join(map(str, (K[0, 0], K[1, 1], K[0, 2], K[1, 2], *distortion)))
    line = f"OPENCV {camera.width} {camera.height} {numbers}"
    write_colmap(path / "iphone/colmap", {1: line}, [f"{name}.jpg" for name in names], poses)
    return path


def write_dslr(path, images, poses, camera, *, masks=None, undistorted=True):
    """Write `dslr/`; return `path`.

    masks: (H,W) bool each, True where pixels must not be used
    undistorted: whether the toolkit has undistorted the fisheye images
    """
    path = Path(path)
    names = [f"DSC{100 + k:05d}" for k in range(len(poses))]
    files = [f"{name}.JPG" for name in names]
    write_colmap(path / "dslr/colmap", {1: FISHEYE}, files, poses)
    if not undistorted:
        return path
    for k, name in enumerate(names):
        write_image(path / f"dslr/undistorted_images/{name}.JPG", images[k])
        if masks is not None:
            _write_mask(path / f"dslr/undistorted_anon_masks/{name}.png", masks[k])
    K = camera.K
    content = {
        **{"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]},
        **{"w": camera.width, "h": camera.height, "k1": 0.0, "k2": 0.0, "k3": 0.0, "k4": 0.0},
        **{"camera_model": "PINHOLE", "frames": []},
    }
    (path / "dslr/nerfstudio").mkdir(exist_ok=True)
    edit_json(path / "dslr/nerfstudio/transforms_undistorted.json", lambda _: content)
    return path


def write_mesh(path, mesh):
    """Write the scanned mesh; return `path`."""
    (path / "scans").mkdir(parents=True, exist_ok=True)
    write_ply(path / "scans/mesh_aligned_0.05.ply", mesh)
    return path


def _write_mask(path, mask):
    write_image(path, np.where(mask, 0, 255).astype(np.uint8))
