"""The box room with faces that are seen from inside alone."""

import numpy as np

from geoset.geometry.mesh import TriangleMesh, face_normals
from reference.box_room import HIGH, LOW, box_mesh


def inward_mesh():
    mesh = box_mesh()
    inward = (LOW + HIGH) / 2 - mesh.vertices[mesh.faces[:, 0]]
    is_back = (face_normals(mesh.vertices, mesh.faces) * inward).sum(axis=1) < 0
    faces = np.where(is_back[:, None], mesh.faces[:, ::-1], mesh.faces)
    return TriangleMesh(mesh.vertices, faces)
