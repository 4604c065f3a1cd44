"""Writer of Polycam's raw export."""

import json
from pathlib import Path

import numpy as np

from scan_folders import write_image, write_raster
from scan_formats.nerfstudio import OPENCV_FROM_OPENGL

FIRST, STEP = 98_000_123_456, 700_321  # microseconds: names of keyframes


def write_polycam(path, images, depths, poses, camera, *, corrected=True, confidences=None):
    """Write `keyframes/`; return `path`.

    depths: or None for no depth images
    poses: (4,4) world_from_camera each, in OpenCV axes
    corrected: whether Polycam has optimised the poses; then the others are 10 cm off
    confidences: (h,w) uint8 each: 0 low, 127 medium, 255 high
    """
    path = Path(path)
    for k, (image, pose) in enumerate(zip(images, poses, strict=True)):
        name = f"keyframes/{{}}/{FIRST + k * STEP}.{{}}"
        write_image(path / name.format("images", "jpg"), image)
        _write_camera(path / name.format("cameras", "json"), pose, camera, 0.1 * corrected)
        if corrected:
            write_image(path / name.format("corrected_images", "jpg"), image)
            _write_camera(path / name.format("corrected_cameras", "json"), pose, camera)
        if depths is not None:
            write_raster(path / name.format("depth", "png"), depths[k])
        if confidences is not None:
            write_image(path / name.format("confidence", "png"), confidences[k].astype(np.uint8))
    return path


def _write_camera(path, pose, camera, shift=0.0):
    rows = pose @ OPENCV_FROM_OPENGL
    rows[:3, 3] += shift
    K = camera.K
    content = {
        **{"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]},
        **{"width": camera.width, "height": camera.height, "blur_score": 115.28},
        **{f"t_{i}{j}": rows[i, j] for i in range(3) for j in range(4)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
