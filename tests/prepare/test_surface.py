import re
from itertools import product

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh, edge_lengths, face_normals
from geoset.prepare.surface import CLUSTER_CELL, _split_faces, working_surface

SIZE = np.array([4.0, 3.0, 2.5])
CORNERS = SIZE * list(product([0, 1], repeat=3))
WALLS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
HALVES = np.array([f for a, b, c, d in WALLS for f in ((a, b, c), (a, c, d))], np.int32)
ROOM = TriangleMesh(CORNERS, HALVES)  # 8 vertices, 12 triangles, normals outwards


def grid(count, spacing):
    """A flat square of count x count vertices."""
    i, j = np.indices((count, count)).reshape(2, -1)
    number = np.arange(count**2).reshape(count, count)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3).astype(np.int32)
    return TriangleMesh(spacing * np.stack([i, j, 0 * i], axis=1), faces)


def dense_sphere(radius=0.5, spacing=0.004):
    """A closed sphere: the grid of a cube, pushed out."""
    count = round(1.5 * radius / spacing)
    side = grid(count + 1, 2 / count)
    sides = []
    for axis in range(3):
        low = np.roll(side.vertices - [1, 1, 1], axis + 1, axis=1)
        sides += [(low, side.faces[:, ::-1]), (low + 2 * np.eye(3)[axis], side.faces)]
    lattice = np.round(np.concatenate([v for v, _ in sides]) * count).astype(int)
    faces = np.concatenate([f + k * len(side.vertices) for k, (_, f) in enumerate(sides)])
    lattice, number = np.unique(lattice, axis=0, return_inverse=True)
    vertices = radius * lattice / np.linalg.norm(lattice, axis=1, keepdims=True)
    return TriangleMesh(vertices, number.reshape(-1)[faces].astype(np.int32))


@pytest.fixture(scope="module")
def surface():
    """The working surface of the room of 8 vertices."""
    return working_surface(ROOM)


def area(vertices, faces):
    return np.linalg.norm(face_normals(vertices.astype(float), faces), axis=1).sum() / 2


def volume(vertices, faces):
    corners = vertices.astype(float)[faces]
    return np.linalg.det(corners).sum() / 6


def faces_per_edge(faces):
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


class TestCoarse:
    """A room of 8 vertices."""

    def test_edges_are_short_and_shared(self, surface):
        assert edge_lengths(surface.vertices, surface.faces).max() <= 0.04
        assert (faces_per_edge(surface.faces) == 2).all()
        assert len(np.unique(surface.vertices, axis=0)) == len(surface.vertices)

    def test_shape_is_kept(self, surface):
        assert area(surface.vertices, surface.faces) == pytest.approx(59, rel=1e-6)
        assert volume(surface.vertices, surface.faces) == pytest.approx(30, rel=1e-6)
        assert (np.abs(face_normals(surface.vertices, surface.faces)).max(axis=1) > 1e-5).all()

    def test_original_vertices_come_first(self, surface):
        np.testing.assert_array_equal(surface.vertices[:8], CORNERS.astype(np.float32))
        np.testing.assert_array_equal(surface.source_vertex[:8], np.arange(8))

    def test_types(self, surface):
        assert surface.vertices.dtype == np.float32
        assert surface.faces.dtype == surface.source_vertex.dtype == np.int32
        assert surface.source_vertex.shape == surface.vertices.shape[:1]
        assert surface.offset.tolist() == [0, 0, 0]

    def test_labels_stay_on_their_wall(self, surface):
        """Each vertex takes after a corner of every wall that it lies on."""
        source = CORNERS[surface.source_vertex]
        for axis, side in product(range(3), (0, 1)):
            wall = surface.vertices[:, axis] == np.float32(side * SIZE[axis])
            assert wall.sum() > 1000
            assert (source[wall, axis] == side * SIZE[axis]).all()

    def test_far_from_the_origin(self, surface):
        shift = np.array([12_345_678.4, -10_000.6, 250.3])
        far = working_surface(TriangleMesh(CORNERS + shift, HALVES))
        assert far.offset.dtype == np.float64
        assert np.abs(far.offset - np.round(far.offset)).max() == 0
        np.testing.assert_allclose(far.vertices[:8] + far.offset, CORNERS + shift, atol=1e-6)
        assert np.abs(far.vertices).max() < 10
        assert area(far.vertices, far.faces) == pytest.approx(59, rel=1e-5)

    def test_at_900_metres_no_offset(self):
        surface = working_surface(TriangleMesh(CORNERS + 900.0, HALVES))
        assert surface.offset.tolist() == [0, 0, 0]


class TestBetween:
    def test_is_left_alone(self):
        mesh = grid(30, 0.02)
        surface = working_surface(mesh)
        np.testing.assert_array_equal(surface.vertices, mesh.vertices.astype(np.float32))
        np.testing.assert_array_equal(surface.faces, mesh.faces)
        np.testing.assert_array_equal(surface.source_vertex, np.arange(900))

    def test_only_long_edges_are_cut(self):
        """Two triangles share an edge of 7 cm; a third, apart, has none over 4 cm."""
        first = [[0, 0, 0], [0.07, 0, 0], [0.035, 0.018, 0], [0.035, -0.018, 0]]
        vertices = np.array([*first, [1, 0, 0], [1.03, 0, 0], [1, 0.02, 0]])
        faces = np.array([[0, 1, 2], [1, 0, 3], [4, 5, 6]], np.int32)
        surface = working_surface(TriangleMesh(vertices, faces))
        np.testing.assert_allclose(surface.vertices[7:], [[0.035, 0, 0]], atol=1e-8)
        assert surface.source_vertex[7] == 0
        found = {tuple(np.roll(face, -face.argmin())) for face in surface.faces}
        assert found == {(4, 5, 6), (0, 7, 2), (1, 2, 7), (0, 3, 7), (1, 7, 3)}


class TestDense:
    def test_sphere_is_clustered(self):
        mesh = dense_sphere()
        assert np.median(edge_lengths(mesh.vertices, mesh.faces)) < 0.006
        surface = working_surface(mesh)
        assert 0.01 < np.median(edge_lengths(surface.vertices, surface.faces)) < 0.025
        assert edge_lengths(surface.vertices, surface.faces).max() <= 0.04
        assert area(surface.vertices, surface.faces) == pytest.approx(np.pi, rel=0.02)
        assert volume(surface.vertices, surface.faces) == pytest.approx(np.pi / 6, rel=0.02)

    def test_vertices_are_those_of_the_mesh(self):
        mesh = dense_sphere()
        surface = working_surface(mesh)
        clustered = np.arange(len(surface.vertices)) < len(np.unique(surface.source_vertex))
        kept = surface.source_vertex[clustered]
        assert len(np.unique(kept)) == len(kept)
        np.testing.assert_array_equal(
            surface.vertices[clustered], mesh.vertices.astype(np.float32)[kept]
        )
        apart = np.linalg.norm(surface.vertices - mesh.vertices[surface.source_vertex], axis=1)
        assert apart.max() <= 0.02

    def test_one_vertex_a_cell_the_nearest_to_the_mean(self):
        mesh = grid(41, 0.007)
        surface = working_surface(mesh)
        cell = np.floor(mesh.vertices.astype(np.float32) / CLUSTER_CELL).astype(int)
        expected = []
        for wanted in np.unique(cell, axis=0):
            inside = np.flatnonzero((cell == wanted).all(axis=1))
            mean = mesh.vertices[inside].mean(axis=0)
            expected.append(np.linalg.norm(mesh.vertices[inside] - mean, axis=1).min())
        found = surface.source_vertex
        assert len(found) == len(expected)
        for index, distance in zip(found, expected, strict=True):
            mean = mesh.vertices[(cell == cell[index]).all(axis=1)].mean(axis=0)
            assert np.linalg.norm(mesh.vertices[index] - mean) == pytest.approx(distance, abs=1e-6)

    def test_a_large_face_among_small_ones_is_cut(self):
        mesh = grid(41, 0.005)
        corner = [[1.0, 0, 0], [1.0, 1.0, 0]]
        faces = np.concatenate([mesh.faces, [[0, 1681, 1682]]]).astype(np.int32)
        surface = working_surface(TriangleMesh(np.concatenate([mesh.vertices, corner]), faces))
        assert edge_lengths(surface.vertices, surface.faces).max() <= 0.04
        assert area(surface.vertices, surface.faces) == pytest.approx(0.54, rel=0.03)

    @pytest.mark.parametrize("stray", [np.nan, np.inf, -1e9, 0.001])
    def test_vertices_without_faces_have_no_say(self, stray):
        mesh = grid(41, 0.005)
        plain = working_surface(mesh)
        vertices = np.concatenate([mesh.vertices, np.full((1, 3), stray)])
        surface = working_surface(TriangleMesh(vertices, mesh.faces))
        np.testing.assert_array_equal(surface.vertices, plain.vertices)
        np.testing.assert_array_equal(surface.source_vertex, plain.source_vertex)

    @pytest.mark.parametrize("stray", [np.nan, -1e9, 1e20])
    def test_nor_where_all_vertices_are_kept(self, stray):
        mesh = grid(41, 0.02)
        vertices = np.concatenate([mesh.vertices, np.full((1, 3), stray)])
        surface = working_surface(TriangleMesh(vertices, mesh.faces))
        np.testing.assert_array_equal(surface.vertices[:-1], working_surface(mesh).vertices)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert ((low <= surface.vertices[-1]) & (surface.vertices[-1] <= high)).all()


class TestRefused:
    def test_too_large(self):
        field = TriangleMesh(200 * grid(2, 1.0).vertices, grid(2, 1.0).faces)
        text = (
            "the mesh has 40000 square metres of surface and edges of up to 283 m: at 4 cm that is "
            "about 50 million vertices, more than 20 million. Check that it is in metres, or cut it"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            working_surface(field)

    def test_one_wild_vertex(self):
        """A sliver has next to no area, but its edges alone are millions of vertices."""
        mesh = grid(30, 0.02)
        vertices = np.concatenate([mesh.vertices, [[2e6, 0, 0]]])
        faces = np.concatenate([mesh.faces, [[0, 1, 900]]]).astype(np.int32)
        with pytest.raises(GeosetError, match="edges of up to 2000000 m: at 4 cm that is about"):
            working_surface(TriangleMesh(vertices, faces))

    def test_too_small(self):
        tiny = grid(10, 0.0002)
        text = (
            "the mesh is 0.0018 m across: at a resolution of 1.75 cm no face of it is left. "
            "Check that it is in metres"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            working_surface(tiny)


# The pieces of face 0 1 2, whose edges 0-1, 1-2 and 2-0 have the midpoints 3, 4 and 5.
SPLITS = {
    (3, -1, -1): {(0, 3, 2), (1, 2, 3)},
    (-1, 4, -1): {(0, 1, 4), (0, 4, 2)},
    (-1, -1, 5): {(0, 1, 5), (1, 2, 5)},
    (3, 4, -1): {(1, 4, 3), (0, 3, 4), (0, 4, 2)},
    (-1, 4, 5): {(2, 5, 4), (1, 4, 5), (0, 1, 5)},
    (3, -1, 5): {(0, 3, 5), (2, 5, 3), (1, 2, 3)},
    (3, 4, 5): {(0, 3, 5), (1, 4, 3), (2, 5, 4), (3, 4, 5)},
}


class TestSplitFaces:
    @pytest.mark.parametrize(("middle", "pieces"), SPLITS.items())
    def test_each_pattern_by_hand(self, middle, pieces):
        split = _split_faces(np.array([[0, 1, 2]]), np.array([middle]))
        turned = [tuple(np.roll(face, -face.argmin())) for face in split]
        assert len(turned) == len(pieces)
        assert set(turned) == pieces

    def test_all_patterns_at_once(self):
        faces = np.array([[0, 1, 2]] * 7) + 10 * np.arange(7)[:, None]
        middle = np.array(list(SPLITS))
        middle = np.where(middle < 0, -1, middle + 10 * np.arange(7)[:, None])
        split = _split_faces(faces, middle)
        turned = {tuple(np.roll(face, -face.argmin())) for face in split}
        assert turned == {
            tuple(corner + 10 * k for corner in piece)
            for k, pieces in enumerate(SPLITS.values())
            for piece in pieces
        }
