"""A scene of Replica as it was rendered for NICE-SLAM."""

import json
from pathlib import Path

import numpy as np

from scan_folders import write_image, write_raster

SCALE = 6553.5


def write_replica(path, images, depths, poses, K=None, *, scale=SCALE):
    """Write results/ and traj.txt, and cam_params.json beside unless K is None; return `path`.

    K: for integer centres
    """
    path = Path(path)
    for k, (image, depth) in enumerate(zip(images, depths, strict=True)):
        write_image(path / f"results/frame{k:06d}.jpg", image)
        write_raster(path / f"results/depth{k:06d}.png", np.round(scale * depth).astype(np.uint16))
    rows = [" ".join(f"{value:.18e}" for value in pose.ravel()) for pose in poses]
    (path / "traj.txt").write_text("\n".join([*rows, ""]))
    if K is not None:
        height, width = images[0].shape[:2]
        camera = {"w": width, "h": height, "fx": K[0, 0], "fy": K[1, 1]}
        camera |= {"cx": K[0, 2], "cy": K[1, 2], "scale": scale}
        (path.parent / "cam_params.json").write_text(json.dumps({"camera": camera}))
    return path
