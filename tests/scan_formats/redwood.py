"""A scan as Redwood publishes it and Open3D writes it."""

import json
from pathlib import Path

from geoset.geometry.ply import write_ply
from scan_folders import write_image, write_raster


def write_redwood(
    path, images, depths, poses, K=None, *, color="color", log="trajectory.log", first=1, mesh=None
):
    """Write images, trajectory and intrinsics (none if K is None); return `path`.

    K: for integer centres
    color: the folder of colour images; log: the file of the trajectory
    first: number of the first frame in the trajectory, 1 as published
    """
    path = Path(path)
    for k, (image, depth) in enumerate(zip(images, depths, strict=True)):
        write_image(path / color / f"{k:05d}.jpg", image)
        write_raster(path / f"depth/{k:05d}.png", depth)
    (path / log).parent.mkdir(exist_ok=True)
    (path / log).write_text("".join(map(_block, range(first, first + len(poses)), poses)))
    if K is not None:
        height, width = images[0].shape[:2]
        matrix = K.T.ravel().tolist()
        camera = {"width": width, "height": height, "intrinsic_matrix": matrix}
        (path / "camera_intrinsic.json").write_text(json.dumps(camera, indent=4))
    if mesh is not None:
        (path / "scene").mkdir(exist_ok=True)
        write_ply(path / "scene/integrated.ply", mesh)
    return path


def _block(number, pose):
    rows = [" ".join(f"{value:.10f}" for value in row) for row in pose]
    return "\n".join([f"{number - 1} {number - 1} {number}", *rows, ""])
