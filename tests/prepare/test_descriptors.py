"""Descriptors of sets, against a slow twin and planks whose measures are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from geoset.prepare.descriptors import DESCRIPTORS, describe_sets, see_sets
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from reference.box_room import write_box_room
from reference.descriptors import describe_set

UP = np.array([0, 0, 1.0])


def plank(length, width, steps=40):
    """A rectangle about the origin in the plane z = 0."""
    i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    grid = np.stack([(i / steps - 0.5) * length, (j / steps - 0.5) * width, 0 * i], axis=-1)
    n = np.arange(i.size).reshape(i.shape)
    corners = n[:-1, :-1], n[1:, :-1], n[1:, 1:], n[:-1, 1:]
    faces = [np.stack([corners[k].ravel() for k in t], axis=1) for t in ((0, 1, 2), (0, 2, 3))]
    return grid.reshape(-1, 3), np.concatenate(faces)


def describe(vertices, faces, up=UP, floor=0.0):
    labels = np.zeros(len(vertices), int)
    return dict(zip(DESCRIPTORS, describe_sets(vertices, faces, labels, up, floor)[0], strict=True))


def log_extent(size):
    """Of an even plank of this length: its standard deviation is the length over root 12."""
    return np.log(size / np.sqrt(12) + 0.01)


def test_a_table_top():
    vertices, faces = plank(1.6, 0.8)
    turned = Rotation.from_euler("z", 30, degrees=True).apply(vertices) + np.array([5, -3, 0.75])
    found = describe(turned, faces, floor=0.05)
    expected = [0.70, 1, 0, log_extent(1.6), log_extent(0.8), np.log(0.01)]
    np.testing.assert_allclose(list(found.values()), expected, atol=2e-3)


def test_a_door():
    """Upright, 2 m tall and 0.9 m long, without width."""
    vertices, faces = plank(0.9, 2.0)
    turned = Rotation.from_euler("xz", [90, 70], degrees=True).apply(vertices) + np.array([0, 0, 1])
    found = describe(turned, faces)
    expected = [1, 0, 1, log_extent(0.9), np.log(0.01), log_extent(2)]
    np.testing.assert_allclose(list(found.values()), expected, atol=2e-3)


def test_a_slope_of_30_degrees():
    vertices, faces = plank(1, 1)
    found = describe(Rotation.from_euler("x", 30, degrees=True).apply(vertices), faces)
    assert found["horizontality"] == pytest.approx(np.cos(np.pi / 6))
    assert found["verticality"] == pytest.approx(np.sin(np.pi / 6))
    assert found["rise"] == pytest.approx(log_extent(0.5), abs=2e-3)


def test_other_coordinates_and_faces_turned_over_make_no_difference():
    rng = np.random.default_rng(1)
    vertices, faces = plank(1.2, 0.5, steps=12)
    vertices = vertices + rng.normal(0, 0.05, vertices.shape)
    labels = rng.integers(0, 3, len(vertices))
    expected = describe_sets(vertices, faces, labels, UP, 0.1)
    turn = Rotation.random(rng=rng)
    found = describe_sets(turn.apply(vertices), faces[:, ::-1], labels, turn.apply(UP), 0.1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_against_one_corner_at_a_time(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(0, 1, (40, 3)).astype(np.float32)
    faces = rng.integers(0, 40, (90, 3))  # some of them without area
    labels = rng.integers(-1, 6, 40)
    labels[labels == 4] = 5  # no vertex has label 4
    up = Rotation.random(rng=rng).apply(UP)
    found = describe_sets(vertices, faces, labels, up, -0.3)
    expected = [describe_set(vertices, faces, labels, k, up, -0.3) for k in range(6)]
    # The width of a line, 0, comes out as the root of what rounding leaves.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[:, :3], np.array(expected)[:, :3], atol=1e-12)
    assert np.isnan(found[4]).all() and np.isfinite(found[[0, 1, 2, 3, 5]]).all()


def test_a_vertex_without_faces_is_a_set_without_descriptors():
    vertices, faces = plank(1, 1, steps=2)
    vertices, labels = np.concatenate([vertices, [[9, 9, 9]]]), np.zeros(10, int)
    labels[-1] = 1
    found = describe_sets(vertices, faces, labels, UP, 0)
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()


def test_where_sets_are_seen(tmp_path):
    scan = write_box_room(tmp_path / "room")
    prepare_scene(scan, tmp_path / "out", PrepareSettings(image_size=(96, 128)))
    scene = PreparedScene(tmp_path / "out/room")
    seen = see_sets(scene, "geometric")
    maps = [scene.set_map(i) for i in range(len(scene))]
    for label in range(scene.info["sets"]):
        counts = [(set_map == label).sum() for set_map in maps]
        assert seen.pixels[label] == sum(counts)
        assert seen.most[label] == max(counts)
        assert seen.best_frame[label] == np.argmax(counts)
    assert len(seen.pixels) == scene.info["sets"] and (seen.pixels == 0).sum() < len(seen.pixels)
