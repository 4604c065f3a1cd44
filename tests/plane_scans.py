"""The least that can be prepared: three small frames of a floor, with its mesh."""

import os
import shutil

import numpy as np

from geoset.geometry.mesh import TriangleMesh
from scan_folders import write_folder_scan

HEIGHT, WIDTH, FRAMES = 32, 40, 3
OPTIONS = ["--image-size", str(HEIGHT), str(WIDTH)]  # for geoset prepare


def write_plane_scan(path, variant=0):
    """Write frames of a camera that looks down and moves; return `path`. There are ten variants."""
    above = 0.9 + 0.02 * (variant % 10)
    corners = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    mesh = TriangleMesh(np.array(corners, dtype=np.float32), np.array([[0, 1, 2], [0, 2, 3]]))
    poses = []
    for frame in range(FRAMES):
        pose = np.diag([1.0, -1, -1, 1])
        pose[:3, 3] = 0.1 * frame, 0, above
        poses.append(pose)
    images = np.random.default_rng(variant).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    depths = np.full((FRAMES, HEIGHT, WIDTH), above)
    K = np.array([[32, 0, WIDTH / 2 - 0.5], [0, 32, HEIGHT / 2 - 0.5], [0, 0, 1.0]])
    return write_folder_scan(path, images, depths, poses, K, mesh=mesh)


def write_plane_scans(folder, count, broken=()):
    """Write `count` scans s0000, s0001, ...; those whose number is in `broken` lack intrinsics."""
    variants = [write_plane_scan(folder.parent / f"variants/{k}", k) for k in range(min(10, count))]
    for number in range(count):
        source, target = variants[number % 10], folder / f"s{number:04d}"
        shutil.copytree(source, target, copy_function=os.link)
        if number in broken:
            (target / "intrinsics.txt").unlink()
    return folder
