import re

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.mesh import (
    TriangleMesh,
    check_faces,
    drop_bad_faces,
    edge_lengths,
    face_normals,
)

SQUARE = np.array([[0, 0, 0], [3, 0, 0], [3, 4, 0], [0, 4, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def test_face_normals_are_twice_the_area_long():
    np.testing.assert_array_equal(face_normals(SQUARE, HALVES), [[0, 0, 12], [0, 0, 12]])
    np.testing.assert_array_equal(face_normals(SQUARE, HALVES[:, ::-1]), [[0, 0, -12]] * 2)


def test_edge_lengths_are_in_the_order_of_the_corners():
    np.testing.assert_array_equal(edge_lengths(SQUARE, HALVES), [[3, 4, 5], [5, 3, 4]])


def test_drop_bad_faces_counts_by_reason_and_keeps_vertices():
    vertices = np.concatenate([SQUARE, [[np.nan, 0, 0], [0, np.inf, 0]]])
    faces = np.array([[0, 1, 2], [0, 1, 6], [-1, 1, 2], [0, 1, 4], [5, 4, 0], [0, 2, 3]])
    colors = np.arange(18, dtype=np.uint8).reshape(6, 3)
    mesh, counts = drop_bad_faces(TriangleMesh(vertices, faces, colors), "scan")
    np.testing.assert_array_equal(mesh.faces, HALVES)
    assert mesh.vertices is vertices
    assert mesh.colors is colors
    assert counts == {
        "faces with a vertex index out of range": 2,
        "faces with a non-finite vertex": 2,
    }
    check_faces(mesh.vertices, mesh.faces)


def test_drop_bad_faces_leaves_a_good_mesh_alone():
    mesh, counts = drop_bad_faces(TriangleMesh(SQUARE, HALVES), "scan")
    np.testing.assert_array_equal(mesh.faces, HALVES)
    assert counts == {}


@pytest.mark.parametrize(
    ("faces", "found"),
    [
        (np.empty((0, 3), int), "no faces"),
        (np.array([[0, 1, 9]]), "1 faces with a vertex index out of range"),
    ],
)
def test_drop_bad_faces_refuses_a_mesh_without_usable_faces(faces, found):
    text = f"scan7: the mesh has no usable face ({found}). A surface needs triangles; remove"
    with pytest.raises(GeosetError, match=re.escape(text)):
        drop_bad_faces(TriangleMesh(SQUARE, faces), "scan7")


@pytest.mark.parametrize(
    ("vertices", "faces", "text"),
    [
        (SQUARE[:, :2], HALVES, r"vertices have shape \(4, 2\), expected \(V, 3\)"),
        (SQUARE, np.zeros((1, 4), int), r"faces have shape \(1, 4\) .* split polygons"),
        (SQUARE, HALVES.astype(float), r"type float64, expected \(F, 3\) integers"),
        (SQUARE, HALVES + 1, r"face 1 names vertices \[1, 3, 4\], expected 0\.\.3; drop_bad_"),
        (SQUARE, HALVES - 1, r"face 0 names vertices \[-1, 0, 1\], expected 0\.\.3"),
        (
            np.where(SQUARE == 4, np.inf, SQUARE),
            HALVES,
            "face 0 has a vertex that is not finite .* drop_bad_",
        ),
    ],
)
def test_check_faces_names_what_is_wrong(vertices, faces, text):
    with pytest.raises(GeosetError, match=text):
        check_faces(vertices, faces)


def test_check_faces_ignores_bad_vertices_that_no_face_uses():
    check_faces(np.concatenate([SQUARE, [[np.nan] * 3]]), HALVES)
    check_faces(SQUARE, np.empty((0, 3), np.int32))
