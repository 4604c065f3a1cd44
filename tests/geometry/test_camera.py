import numpy as np
import pytest

from geoset.geometry.camera import (
    Camera,
    invert,
    nearest_rigid,
    transform,
    why_each_is_not_rigid,
    why_not_rigid,
)

SKEWED = Camera(np.array([[50.0, 2.0, 31.5], [0.0, 60.0, 20.25], [0.0, 0.0, 1.0]]), 64, 48)


def some_pose(seed=0):
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    pose[:3, 3] = rng.normal(size=3)
    return pose


def test_pixel_centres_lie_at_half_integers():
    # f = 2, centre (1, 1) of a 2x2 image: the first pixel's centre is (0.5, 0.5)
    camera = Camera(np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]]), 2, 2)
    np.testing.assert_allclose(camera.rays()[0], [[-0.25, -0.25, 1], [0.25, -0.25, 1]])
    pixel, z = camera.project(np.array([-0.5, -0.5, 2.0]))
    np.testing.assert_allclose(pixel, [0.5, 0.5])
    assert z == 2


def test_project_undoes_rays():
    rays = SKEWED.rays()
    depth = np.random.default_rng(0).uniform(0.5, 5, rays.shape[:2])
    pixels, z = SKEWED.project(rays * depth[..., None])
    rows, columns = np.mgrid[:48, :64]
    np.testing.assert_allclose(pixels[..., 0], columns + 0.5)
    np.testing.assert_allclose(pixels[..., 1], rows + 0.5)
    np.testing.assert_allclose(z, depth)


def test_project_behind_the_camera_is_finite():
    pixels, z = SKEWED.project(np.array([[1.0, 1, 0], [1, 1, -2]]))
    assert np.isfinite(pixels).all()
    np.testing.assert_array_equal(z, [0, -2])


def test_resized_sees_the_same_points_at_scaled_pixels():
    points = np.random.default_rng(1).uniform((-1, -1, 1), (1, 1, 3), (20, 3))
    small = SKEWED.resized(24, 16)
    assert (small.height, small.width) == (24, 16)
    np.testing.assert_allclose(small.project(points)[0], SKEWED.project(points)[0] * (0.25, 0.5))


def test_transform_and_invert():
    b_from_a = np.eye(4)
    b_from_a[:3] = [[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30]]  # a quarter turn about z
    np.testing.assert_allclose(transform(b_from_a, np.array([1.0, 2, 3])), [8, 21, 33])
    points = np.random.default_rng(2).normal(size=(4, 5, 3))
    pose = some_pose()
    np.testing.assert_allclose(transform(invert(pose), transform(pose, points)), points)
    np.testing.assert_allclose(invert(pose) @ pose, np.eye(4), rtol=0, atol=1e-14)


def spoiled(row, column, value):
    pose = some_pose()
    pose[row, column] = value
    return pose


NOT_RIGID = [
    (np.eye(3), "pose is 3x3, expected 4x4"),
    (spoiled(1, 3, np.nan), "pose has non-finite entries"),
    (spoiled(0, 0, -np.inf), "pose has non-finite entries"),
    (some_pose() * 1.1, "pose is not rigid (its axes are not orthonormal)"),
    (1e200 * np.ones((4, 4)), "pose is not rigid (its axes are not orthonormal)"),
    (np.zeros((4, 4)), "pose is not rigid (its axes are not orthonormal)"),
    (np.diag([1.0, 1, -1, 1]), "pose is not rigid (it mirrors space)"),
    (spoiled(3, 0, 0.5), "pose is not rigid (its last row is not 0 0 0 1)"),
]


@pytest.mark.parametrize(("pose", "reason"), NOT_RIGID)
def test_why_not_rigid_names_the_reason(pose, reason):
    assert why_not_rigid(pose) == reason


def test_each_of_many_poses_gets_its_own_reason():
    whole = [(pose, reason) for pose, reason in NOT_RIGID if pose.shape == (4, 4)]
    whole.insert(2, (some_pose(), None))
    poses, reasons = zip(*whole, strict=True)
    assert why_each_is_not_rigid(np.stack(poses)) == list(reasons)
    assert why_each_is_not_rigid(np.empty((0, 4, 4))) == []


def test_nearest_rigid_takes_many_at_once():
    rounded = np.stack([some_pose().round(2), np.eye(4)])
    for matrix, rigid in zip(rounded, nearest_rigid(rounded), strict=True):
        np.testing.assert_array_equal(rigid, nearest_rigid(matrix))
        np.testing.assert_allclose(rigid[:3, :3].T @ rigid[:3, :3], np.eye(3), rtol=0, atol=1e-15)
        np.testing.assert_allclose(rigid, matrix, atol=0.01)


def test_a_pose_printed_with_four_digits_is_rigid():
    assert why_not_rigid(some_pose().round(4)) is None
