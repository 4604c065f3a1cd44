"""Writer of COLMAP's text model, as `colmap model_converter` prints it."""

from pathlib import Path

from scipy.spatial.transform import Rotation

from geoset.geometry.camera import invert


def write_colmap(path, cameras, names, poses, camera_ids=None):
    """Write `cameras.txt`, `images.txt` and `points3D.txt`; return `path`.

    cameras: by id, "MODEL width height parameters"
    poses: (4,4) world_from_camera each
    camera_ids: one an image; by default all have the first
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    ids = camera_ids or [next(iter(cameras))] * len(names)
    lines = ["# Camera list with one line of data per camera:"]
    lines += ["#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    lines += [f"# Number of cameras: {len(cameras)}"]
    lines += [f"{key} {text}" for key, text in cameras.items()]
    (path / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    lines += ["#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    lines += ["#   POINTS2D[] as (X, Y, POINT3D_ID)"]
    for k, (name, pose, camera_id) in enumerate(zip(names, poses, ids, strict=True)):
        camera_from_world = invert(pose)
        x, y, z, w = Rotation.from_matrix(camera_from_world[:3, :3]).as_quat()
        numbers = " ".join(f"{n:.17g}" for n in (w, x, y, z, *camera_from_world[:3, 3]))
        keypoints = "" if k % 2 else "12.5 80.25 -1 102.75 3.5 17"
        lines += [f"{k + 1} {numbers} {camera_id} {name}", keypoints]
    (path / "images.txt").write_text("\n".join(lines) + "\n")
    (path / "points3D.txt").write_text("# 3D point list with one line of data per point:\n")
    return path
