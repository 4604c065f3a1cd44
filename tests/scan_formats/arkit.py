"""A video as ARKitScenes publishes it."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from geoset.geometry.ply import write_ply
from scan_folders import write_image, write_raster

START, RATE = 6845.461, 0.1


def write_arkit(
    path, images, depths, poses, K, *, frames="40753679_frames", mesh=None, rate=RATE, posed=1
):
    """Write the video 40753679; return `path`.

    K: one for all, or one a frame; counted from the image's corner
    frames: folder below `path` that holds them; "" for none, as in the raw data set
    rate: seconds between images, of which every `posed`-th has a pose
    """
    path = Path(path)
    folder = path / frames
    cameras = K if np.ndim(K) == 3 else [K] * len(poses)
    rows = []
    for k, (image, depth, pose, camera) in enumerate(
        zip(images, depths, poses, cameras, strict=True)
    ):
        time = START + k * rate
        name = f"40753679_{time:.3f}"
        write_image(folder / f"lowres_wide/{name}.png", image)
        write_raster(folder / f"lowres_depth/{name}.png", depth)
        values = (camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2])
        pincam = folder / f"lowres_wide_intrinsics/{name}.pincam"
        pincam.parent.mkdir(exist_ok=True)
        size = f"{image.shape[1]} {image.shape[0]}"
        pincam.write_text(f"{size} {' '.join(f'{value:.9g}' for value in values)}")
        camera_from_world = np.linalg.inv(pose)
        turn = Rotation.from_matrix(camera_from_world[:3, :3]).as_rotvec()
        values = " ".join(f"{value:.12f}" for value in (*turn, *camera_from_world[:3, 3]))
        rows.append(f"{time + 0.00037:.8f} {values}")
    (folder / "lowres_wide.traj").write_text("\n".join([*rows[::posed], ""]))
    if mesh is not None:
        write_ply(path / "40753679_3dod_mesh.ply", mesh)
    return path
