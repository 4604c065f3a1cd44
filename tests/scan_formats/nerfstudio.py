"""Writer of nerfstudio's `transforms.json`."""

import json
from pathlib import Path

import numpy as np

from scan_folders import write_image, write_raster

# An OpenCV camera looks along z with y down, an OpenGL one along -z with y up.
OPENCV_FROM_OPENGL = np.diag([1.0, -1, -1, 1])


def write_nerfstudio(
    path,
    images,
    depths,
    poses,
    camera,
    *,
    masks=None,
    folder="images",
    per_frame=False,
    **top,
):
    """Write images and `transforms.json`; return `path`.

    depths: or None for no depth images
    poses: (4,4) world_from_camera each, in OpenCV axes
    masks: (H,W) bool each, True where pixels must not be used
    folder: of the colour images
    per_frame: whether each frame has its own copy of the intrinsics
    top: further entries at the top; None leaves one out
    """
    path = Path(path)
    K = camera.K
    intrinsics = {
        **{"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]},
        **{"w": camera.width, "h": camera.height},
    }
    frames = []
    for k, (image, pose) in enumerate(zip(images, poses, strict=True)):
        frame = {
            "file_path": f"{folder}/frame_{k + 1:05d}.png",
            "transform_matrix": (pose @ OPENCV_FROM_OPENGL).tolist(),
        }
        write_image(path / frame["file_path"], image)
        if depths is not None:
            frame["depth_file_path"] = f"depth/frame_{k + 1:05d}.png"
            write_raster(path / frame["depth_file_path"], depths[k])
        if masks is not None:
            frame["mask_path"] = f"masks/frame_{k + 1:05d}.png"
            write_image(path / frame["mask_path"], np.where(masks[k], 0, 255).astype(np.uint8))
        frames.append({**intrinsics, **frame} if per_frame else frame)
    content = {"camera_model": "OPENCV", **({} if per_frame else intrinsics), **top}
    content = {key: value for key, value in content.items() if value is not None}
    edit_json(path / "transforms.json", lambda _: {**content, "frames": frames})
    return path


def edit_json(path, change):
    """Replace what a JSON file holds by `change` of it; a file that is not there holds None."""
    content = json.loads(path.read_text()) if path.is_file() else None
    path.write_text(json.dumps(change(content), indent=4))
