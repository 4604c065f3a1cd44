import numpy as np
import pytest

from geoset.geometry.mesh import face_normals
from geoset.geometry.smoothing import smooth_surface
from reference.smoothing import smooth

SPACING = 0.03


def plane(count):
    """A square grid of count x count vertices at z = 0, normals up."""
    i, j = np.indices((count, count)).reshape(2, -1)
    number = np.arange(count**2).reshape(count, count)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    return SPACING * np.stack([i, j, 0 * i], axis=1), faces.astype(np.int32)


def cube(count):
    """The surface of a cube, count x count vertices a side, normals outwards."""
    grid, faces = plane(count)
    top = SPACING * (count - 1)
    sides = []
    for axis in range(3):
        low = np.roll(grid, axis + 1, axis=1)  # the grid's z becomes the axis
        high = low + top * np.eye(3)[axis]
        sides += [(low, faces[:, ::-1]), (high, faces)]
    lattice = np.round(np.concatenate([v for v, _ in sides]) / SPACING).astype(int)
    lattice, number = np.unique(lattice, axis=0, return_inverse=True)
    faces = np.concatenate([f + k * count**2 for k, (_, f) in enumerate(sides)])
    return lattice * SPACING, number.reshape(-1)[faces].astype(np.int32)


def tilts(vertices, faces):
    """Degrees between each face's normal and the z axis."""
    normals = face_normals(vertices, faces)
    cosine = normals[:, 2] / np.linalg.norm(normals, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def outside_cube(points, top):
    """Distance to the surface of the cube 0..top, negative inside."""
    beyond = np.abs(points - top / 2) - top / 2
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


class TestAgainstPlainLoops:
    @pytest.mark.parametrize("steps", [1, 3])
    def test_noisy_cube(self, steps):
        vertices, faces = cube(4)
        vertices += np.random.default_rng(0).normal(0, 0.008, vertices.shape)
        expected = smooth(vertices, faces, steps)
        assert np.abs(expected - vertices).max() > 0.003
        np.testing.assert_allclose(smooth_surface(vertices, faces, steps), expected, atol=1e-14)

    def test_borders_loose_vertices_and_faces_without_area(self):
        vertices, faces = plane(4)
        vertices += np.random.default_rng(1).normal(0, 0.006, vertices.shape)
        vertices = np.concatenate([vertices, [[1, 2, 3]], vertices[5:6]])
        faces = np.concatenate([faces, [[5, 17, 6]]]).astype(np.int32)
        smoothed = smooth_surface(vertices, faces, 2)
        np.testing.assert_allclose(smoothed, smooth(vertices, faces, 2), atol=1e-14)
        np.testing.assert_array_equal(smoothed[16], [1, 2, 3])


def test_no_steps_change_nothing():
    vertices, faces = cube(3)
    vertices = vertices.astype(np.float32)
    smoothed = smooth_surface(vertices, faces, 0)
    assert smoothed.dtype == np.float64
    np.testing.assert_array_equal(smoothed, vertices)


def test_input_stays_as_it_is():
    vertices, faces = cube(3)
    vertices += np.random.default_rng(0).normal(0, 0.005, vertices.shape)
    before = vertices.copy()
    smooth_surface(vertices, faces, 2)
    np.testing.assert_array_equal(vertices, before)


def test_no_faces():
    points = np.eye(3)
    np.testing.assert_array_equal(smooth_surface(points, np.empty((0, 3), np.int32), 5), points)


def test_noisy_plane_becomes_flat():
    """At 5 steps, 6 mm of noise at 3 cm spacing: height 3 times flatter, tilt 19 to 3 degrees."""
    vertices, faces = plane(40)
    noisy = vertices + [0, 0, 1] * np.random.default_rng(0).normal(0, 0.006, (1600, 1))
    smoothed = smooth_surface(noisy, faces, 5)
    inner = ((vertices > 5 * SPACING) & (vertices < 34 * SPACING))[:, :2].all(axis=1)
    assert smoothed[inner, 2].std() < noisy[inner, 2].std() / 3
    assert tilts(noisy, faces).mean() > 15
    assert tilts(smoothed, faces).mean() < 3
    assert np.abs(smoothed - noisy)[:, :2].max() < 0.1 * SPACING


def test_clean_cube_keeps_its_edges_and_corners():
    vertices, faces = cube(8)
    np.testing.assert_allclose(smooth_surface(vertices, faces, 10), vertices, atol=1e-12)


def test_noisy_cube_keeps_its_edges():
    vertices, faces = cube(21)
    noisy = vertices + np.random.default_rng(0).normal(0, 0.005, vertices.shape)
    top = vertices.max()
    before, after = (np.abs(outside_cube(v, top)) for v in (noisy, smooth_surface(noisy, faces, 5)))
    on_planes = (np.isclose(vertices, 0) | np.isclose(vertices, top)).sum(axis=1)
    assert after[on_planes == 1].mean() < before[on_planes == 1].mean() / 3
    assert after[on_planes == 2].mean() < before[on_planes == 2].mean() / 1.5
    # Averaging of positions alone would draw a corner in by about half a spacing.
    assert after[on_planes == 3].max() < 0.3 * SPACING
