"""Residuals of pairs: none where poses are right, as large as the drift where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.prepare.residual import depth_thumbnail, pair_residuals
from reference.box_room import CAMERA, POSES, see
from reference.residual import residual_slowly

PAIR = np.array([[0, 1]])
EYE = np.eye(4)


def thumbnail(pose, depth=None, camera=CAMERA):
    depth = see(camera, pose).depth if depth is None else depth
    return depth_thumbnail(depth, camera, pose)


def moved(view, along=(0, 0, 0), turn=0.0):
    """The view with a pose that is wrong: by metres in its own axes, by degrees about its y."""
    error = np.eye(4)
    angle = np.radians(turn)
    error[0, [0, 2]] = np.cos(angle), np.sin(angle)
    error[2, [0, 2]] = -np.sin(angle), np.cos(angle)
    error[:3, 3] = along
    return replace(view, world_from_camera=view.world_from_camera @ error)


def residual(first, second):
    return pair_residuals([first, second], PAIR)[0]


def facing(distance, camera=CAMERA):
    return np.full((camera.height, camera.width), distance, dtype=np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    views = []
    for pose in POSES:
        depth = see(CAMERA, pose).depth + rng.normal(0, 0.02, (CAMERA.height, CAMERA.width))
        depth[rng.random(depth.shape) < 0.1] = 0
        depth[20:40, 30:70] *= 0.7  # something in front
        views.append(moved(thumbnail(pose, depth), rng.normal(0, 0.05, 3), rng.normal(0, 1)))
    pairs = np.array([(a, b) for b in range(4) for a in range(b)])
    expected = [residual_slowly(views[a], views[b]) for a, b in pairs]
    found = pair_residuals(views, pairs)
    assert found.dtype == np.float32 and np.isfinite(found).sum() == 3
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_right_poses_leave_nothing():
    views = [thumbnail(pose) for pose in POSES[:3]]
    assert pair_residuals(views, np.array([[0, 1], [0, 2], [1, 2]])).max() < 1e-5


@pytest.mark.parametrize("drift", [0.01, 0.04, 0.3])
def test_drift_towards_a_wall_is_measured_exactly(drift):
    first, second = thumbnail(EYE, facing(2.0)), thumbnail(EYE, facing(2.0))
    # Beyond 25 cm one direction takes it for occlusion, the other sees through what is nearer.
    assert residual(first, moved(second, (0, 0, drift))) == pytest.approx(drift, abs=1e-6)


def test_drift_along_the_only_wall_is_not_noticed():
    first, second = thumbnail(EYE, facing(2.0)), thumbnail(EYE, facing(2.0))
    assert residual(first, moved(second, (0.1, 0, 0))) < 1e-6


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_grows_with_drift(direction):
    first, second = thumbnail(POSES[0]), thumbnail(POSES[1])
    found = [
        residual(first, moved(second, np.multiply(direction, d))) for d in (0, 0.02, 0.05, 0.1)
    ]
    assert (np.diff(found) > 0.0025).all()
    assert 0.01 < found[-1] < 0.11


def test_grows_with_turns():
    first, second = thumbnail(POSES[0]), thumbnail(POSES[1])
    found = [residual(first, moved(second, turn=degrees)) for degrees in (0, 1, 3, 10)]
    assert (np.diff(found) > 0.004).all()


def test_noise_is_what_is_left_of_a_right_pose():
    rng = np.random.default_rng(0)
    noise = 0.01
    depth = [2 + rng.normal(0, noise, (CAMERA.height, CAMERA.width)) for _ in range(2)]
    found = residual(*(thumbnail(EYE, d) for d in depth))
    # |difference| of two normal variables has the median 0.954 sigma, of one 0.674 sigma; the
    # second is a mean of up to four pixels.
    assert 0.67 * noise < found < 1.0 * noise


def test_what_is_hidden_does_not_count():
    """The second camera looks past a screen at the wall; the first stands beyond the screen."""
    beyond = np.eye(4)
    beyond[2, 3] = 1.5
    past_the_screen = facing(3.0)
    past_the_screen[:, : CAMERA.width * 6 // 10] = 1.0
    first, second = thumbnail(beyond, facing(1.5)), thumbnail(EYE, past_the_screen)
    # Of the wall's places that both have in view, most are 2 m behind the screen.
    assert residual(first, second) < 1e-6
    assert residual(first, moved(second, (0, 0, 0.02))) == pytest.approx(0.02, abs=1e-6)


def test_what_is_seen_through_counts():
    """The second camera sees the wall through where the first sees most of a screen."""
    screen = facing(3.0)
    screen[:, : CAMERA.width * 9 // 10] = 1.0
    assert residual(thumbnail(EYE, screen), thumbnail(EYE, facing(3.0))) == pytest.approx(2)


def test_nothing_to_compare():
    wall, empty = thumbnail(EYE, facing(2.0)), thumbnail(EYE, facing(0.0))
    away = thumbnail(np.diag([-1.0, 1, -1, 1]), facing(2.0))
    views = [wall, empty, away]
    assert np.isnan(pair_residuals(views, np.array([[0, 1], [0, 2], [1, 2]]))).all()
    assert pair_residuals(views, np.empty((0, 2), dtype=np.int32)).shape == (0,)


@pytest.mark.parametrize("size", [(96, 128), (240, 320), (320, 240), (241, 483)])
def test_thumbnails_see_what_the_camera_sees(size):
    height, width = size
    K = np.array([[150.0, 0.3, width / 2 + 3], [0, 152, height / 2 - 5], [0, 0, 1]])
    camera = Camera(K, width, height)
    small = thumbnail(POSES[0], camera=camera)
    assert 80 < max(small.depth.shape) <= 160
    np.testing.assert_allclose(small.depth, see(small.camera, POSES[0]).depth, rtol=1e-6)


def test_frames_of_two_sizes():
    upright = Camera(CAMERA.K[[1, 0, 2]][:, [1, 0, 2]], CAMERA.height, CAMERA.width)
    views = [thumbnail(POSES[0]), thumbnail(POSES[1], camera=upright)]
    assert residual(*views) < 1e-5
    assert residual(views[0], moved(views[1], (0, 0, 0.05))) == pytest.approx(
        residual_slowly(views[0], moved(views[1], (0, 0, 0.05))), abs=1e-6
    )


def test_far_from_the_origin():
    far = np.eye(4)
    far[:3, 3] = 4e5, -5e6, 900
    views = [
        replace(moved(thumbnail(pose), (0, 0, 0.03 * k)), world_from_camera=far @ pose)
        for k, pose in enumerate(POSES[:2])
    ]
    assert residual(*views) < 1e-5
