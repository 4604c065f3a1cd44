"""Triangle meshes."""

from dataclasses import dataclass

import numpy as np

from geoset.errors import GeosetError


@dataclass(frozen=True)
class TriangleMesh:
    """A triangle mesh.

    vertices: (V,3) float32 or float64, metres
    faces: (F,3) int32, indices into vertices
    colors: (V,3) uint8, or None
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None


def drop_bad_faces(mesh: TriangleMesh, name: str) -> tuple[TriangleMesh, dict[str, int]]:
    """Leave out faces that name no vertex or a non-finite one; count them by reason.

    Vertices all stay, so that labels given for them still fit.

    Raises:
        GeosetError: no usable face is left; `name` says where the mesh came from.
    """
    faces = mesh.faces
    inside = ((faces >= 0) & (faces < len(mesh.vertices))).all(axis=1)
    finite = np.zeros(len(faces), dtype=bool)
    finite[inside] = np.isfinite(mesh.vertices).all(axis=1)[faces[inside]].all(axis=1)
    counts = {
        "faces with a vertex index out of range": int((~inside).sum()),
        "faces with a non-finite vertex": int((inside & ~finite).sum()),
    }
    counts = {reason: count for reason, count in counts.items() if count}
    if not finite.any():
        found = ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "no faces"
        raise GeosetError(
            f"{name}: the mesh has no usable face ({found}). A surface needs triangles; remove the "
            "mesh to have one fused from the depth images, or export it with faces."
        )
    return TriangleMesh(mesh.vertices, faces[finite], mesh.colors), counts


def check_faces(vertices: np.ndarray, faces: np.ndarray) -> None:
    """Refuse `faces` (F,3) that name no row of `vertices` (V,3), or one that is not finite.

    Raises:
        GeosetError: names the first such face; also when the shapes or types are others.
    """
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise GeosetError(f"vertices have shape {vertices.shape}, expected (V, 3)")
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise GeosetError(
            f"faces have shape {faces.shape} and type {faces.dtype}, expected (F, 3) integers; "
            "split polygons into triangles first"
        )
    outside = (faces < 0) | (faces >= len(vertices))
    if outside.any():
        face = outside.any(axis=1).argmax()
        raise GeosetError(
            f"face {face} names vertices {faces[face].tolist()}, expected 0..{len(vertices) - 1}; "
            "drop_bad_faces leaves such faces out"
        )
    bad_vertex = ~np.isfinite(vertices).all(axis=1)
    bad_face = bad_vertex[faces].any(axis=1) if bad_vertex.any() else bad_vertex[:0]
    if bad_face.any():
        face = bad_face.argmax()
        raise GeosetError(
            f"face {face} has a vertex that is not finite "
            f"({vertices[faces[face]].tolist()}); drop_bad_faces leaves such faces out"
        )


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (F,3) normals whose length is twice the area of the face."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def edge_lengths(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (F,3) lengths of the edges (0,1), (1,2), (2,0) of each face."""
    corners = vertices[faces]
    return np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
