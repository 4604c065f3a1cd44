"""A sequence as TUM RGB-D publishes it: lists of times, and the images they name."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scan_folders import write_image, write_matrix, write_raster

START = 1305031102.0
RATE = 1 / 30


def write_tum(path, images, depths, poses, K=None, *, mocap_rate=1 / 120, depth_delay=0.004):
    """Write a sequence at 30 images a second, poses more often; return `path`.

    K: for integer centres, into `intrinsics.txt`, which TUM's own sequences do not have
    """
    path = Path(path)
    colors, rasters, rows = [], [], []
    for k, (image, depth, pose) in enumerate(zip(images, depths, poses, strict=True)):
        time = START + k * RATE
        colors.append(f"{time:.6f} rgb/{time:.6f}.png")
        rasters.append(f"{time + depth_delay:.6f} depth/{time + depth_delay:.6f}.png")
        write_image(path / colors[-1].split()[1], image)
        write_raster(path / rasters[-1].split()[1], np.round(5000 * depth).astype(np.uint16))
        for offset in (-1, 0, 1):  # poses at other times are those of another place
            moved = pose[:3, 3] + 0.01 * offset
            quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
            values = " ".join(f"{value:.9f}" for value in (*moved, *quaternion))
            rows.append(f"{time + offset * mocap_rate:.6f} {values}")
    _write_list(path / "rgb.txt", "color images", "timestamp filename", colors)
    _write_list(path / "depth.txt", "depth maps", "timestamp filename", rasters)
    heading = "timestamp tx ty tz qx qy qz qw"
    _write_list(path / "groundtruth.txt", "ground truth trajectory", heading, rows)
    if K is not None:
        write_matrix(path / "intrinsics.txt", K)
    return path


def _write_list(path, title, heading, rows):
    head = [f"# {title}", "# file: 'rgbd_dataset_made.bag'", f"# {heading}"]
    path.write_text("\n".join([*head, *rows, ""]))
