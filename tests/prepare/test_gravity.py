"""Up is found from floors and walls, whatever the coordinates, and says how sure it is."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from geoset.prepare.gravity import find_up, floor_height, judge_up
from reference.box_room import HIGH, LOW, box_mesh
from reference.empty_room import look_at, walk_around

MESH = box_mesh()
EXTENT = HIGH - LOW
AREAS = 2 * np.array([EXTENT[1] * EXTENT[2], EXTENT[0] * EXTENT[2], EXTENT[0] * EXTENT[1]])


def turned(rotation, poses):
    """The room's vertices and camera poses in other coordinates."""
    world = np.eye(4)
    world[:3, :3] = rotation.as_matrix()
    return rotation.apply(MESH.vertices), world @ np.array(poses)


def degrees_between(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def cameras(pitch, count=8, all_around=True):
    """Level cameras in the middle that look down by `pitch` degrees."""
    eye = (LOW + HIGH) / 2
    turns = np.linspace(0, 2 * np.pi if all_around else 0.3, count, endpoint=False)
    down = np.tan(np.radians(pitch))
    return [look_at(eye, eye + np.array([np.cos(t), np.sin(t), -down])) for t in turns]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("pitch", "all_around"), [(10, True), (40, True), (35, False)])
def test_up_is_found_in_any_coordinates(seed, pitch, all_around):
    rotation = Rotation.random(rng=np.random.default_rng(seed))
    vertices, poses = turned(rotation, cameras(pitch, all_around=all_around))
    up = find_up(vertices, MESH.faces, poses)
    assert degrees_between(up, rotation.apply([0, 0, 1])) < 0.01


def test_noise_and_clutter():
    """2 mm of noise tilt faces by 7 degrees, and as many others lie in any way."""
    rng = np.random.default_rng(0)
    vertices = MESH.vertices + rng.normal(0, 0.002, MESH.vertices.shape)
    count = len(MESH.faces)
    corners = rng.uniform(LOW, HIGH, (count, 1, 3)) + rng.normal(0, 0.02, (count, 3, 3))
    faces = len(vertices) + np.arange(3 * count).reshape(-1, 3)
    vertices = np.concatenate([vertices, corners.reshape(-1, 3)])
    up = find_up(vertices, np.concatenate([MESH.faces, faces]), np.array(cameras(25)))
    assert degrees_between(up, np.array([0, 0, 1.0])) < 1


def test_faces_may_be_turned_over():
    faces = MESH.faces.copy()
    faces[::2] = faces[::2, ::-1]
    up = find_up(MESH.vertices, faces, np.array(cameras(20)))
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-6)


def test_what_is_said_of_it():
    """Cameras that all look down by 30 degrees one way: their mean up is 30 degrees off."""
    up = judge_up((0, 0, 2.0), MESH.vertices, MESH.faces, np.array(cameras(30, 1)))
    np.testing.assert_allclose(up.direction, [0, 0, 1])
    assert up.angle == pytest.approx(30) and up.agreement == pytest.approx(1)
    assert up.level == pytest.approx(AREAS[2] / AREAS.sum())
    assert up.upright == pytest.approx(AREAS[:2].sum() / AREAS.sum())
    assert up.sure
    assert str(up) == (
        "up is (0.00, 0.00, 1.00): 30 degrees from the cameras' mean up (they agree to 1.00 of 1), "
        f"{up.level:.0%} of the surface is level and {up.upright:.0%} upright"
    )


def test_when_it_is_unsure():
    sideways = np.array(cameras(0))
    sideways[:, :3, :2] = np.stack([sideways[:, :3, 1], -sideways[:, :3, 0]], axis=2)
    rolled = judge_up(
        find_up(MESH.vertices, MESH.faces, sideways), MESH.vertices, MESH.faces, sideways
    )
    assert rolled.agreement < 0.1 and not rolled.sure and ", unsure: " in str(rolled)
    stated = judge_up((0, 0, -1), MESH.vertices, MESH.faces, np.array(cameras(0)))
    assert stated.angle == pytest.approx(180) and not stated.sure
    walls = MESH.faces[(np.ptp(MESH.vertices[MESH.faces][..., 2], axis=1) > 0)]
    only_walls = judge_up((0, 0, 1), MESH.vertices, walls, np.array(cameras(0)))
    assert only_walls.level == 0 and not only_walls.sure


def test_the_floor_is_the_lowest_level_surface():
    up = np.array([0, 0, 1.0])
    assert floor_height(MESH.vertices, MESH.faces, up) == pytest.approx(LOW[2])
    assert floor_height(MESH.vertices, MESH.faces, -up) == pytest.approx(-HIGH[2])
    # A speck far below is not the floor.
    speck = np.float32([[0, 0, -3], [0.03, 0, -3], [0, 0.03, -3]])
    vertices = np.concatenate([MESH.vertices, speck])
    faces = np.concatenate([MESH.faces, len(MESH.vertices) + np.arange(3)[None]])
    assert floor_height(vertices, faces, up) == pytest.approx(LOW[2])


def test_a_surface_without_a_level_face():
    assert floor_height(MESH.vertices, MESH.faces, np.array([0.6, 0, 0.8])) == 0


def test_walking_around_an_empty_room():
    poses = np.array(walk_around(EXTENT, 10))
    np.testing.assert_allclose(find_up(MESH.vertices, MESH.faces, poses), [0, 0, 1], atol=1e-6)
