"""One more layer: cut every surface into what faces up, down or sideways, in bands of height."""

import sys
from pathlib import Path

import numpy as np

import geoset
from geoset.geometry.mesh import face_normals

BAND = 0.5  # metres


def bands(scene: geoset.PreparedScene) -> np.ndarray:
    """Return one integer a vertex (V,): its band of height, and which way it faces; z is up."""
    normals = np.zeros(scene.vertices.shape)
    for corner in scene.faces.T:  # a vertex faces as its faces do, by area
        np.add.at(normals, corner, face_normals(scene.vertices, scene.faces))
    slope = normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    facing = np.digitize(slope, [-0.7, 0.7])  # 0 down, 1 sideways, 2 up
    height = scene.vertices[:, 2] - scene.vertices[:, 2].min()
    return (3 * (height // BAND) + facing).astype(np.int32)


if __name__ == "__main__":
    prepared, out = map(Path, sys.argv[1:])
    out.mkdir(exist_ok=True)
    for file in sorted(prepared.glob("*/scene.json")):
        scene = geoset.PreparedScene(file.parent)
        np.save(out / f"{scene.name}.npy", bands(scene))
