import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.geometry.flying_pixels import drop_flying_pixels
from reference.flying_pixels import drop_flying_pixels_slowly

LONG = Camera(np.array([[585.0, 0, 20], [0, 585, 15], [0, 0, 1]]), 40, 30)
WIDE = Camera(np.array([[100.0, 0, 20], [0, 100, 15], [0, 0, 1]]), 40, 30)


def steps(*depths, rows=7):
    """Rows that are all alike, metres."""
    return np.tile(np.float32(depths), (rows, 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("camera", [LONG, WIDE])
def test_equals_plain_loops(seed, camera):
    rng = np.random.default_rng(seed)
    depth = 2 + 0.03 * rng.normal(0, 1, (30, 40)) + 1.0 * (np.arange(40) > 17)
    depth[8:15, 22:30] = 1.2
    depth[:, 17] = rng.uniform(2.2, 2.8, 30)
    depth[rng.random(depth.shape) < 0.1] *= 1.3
    depth[rng.random(depth.shape) < 0.1] = 0
    depth = depth.astype(np.float32)
    limit = max(0.02, np.tan(np.radians(80)) / camera.K[0, 0])
    found = drop_flying_pixels(depth, camera)
    assert found.dtype == np.float32
    assert 10 < ((found == 0) & (depth > 0)).sum() < depth.size / 2
    np.testing.assert_array_equal(found, drop_flying_pixels_slowly(depth, limit))


def test_a_column_between_two_walls_flies():
    depth = steps(2, 2, 2, 2, 2.6, 3, 3, 3, 3)
    found = drop_flying_pixels(depth, LONG)
    np.testing.assert_array_equal(found, steps(2, 2, 2, 2, 0, 3, 3, 3, 3))
    assert depth[0, 4] == np.float32(2.6)  # what is given stays as it is


@pytest.mark.parametrize(
    "depths",
    [
        (2, 2, 2, 2, 3, 3, 3, 3),  # an edge, and nothing mixed
        (3, 3, 3, 2, 3, 3, 3),  # a thin rod
        (2, 2, 2, 3, 2, 2, 2),  # the wall, through a slit
        (2, 2, 2, 2.05, 2.1, 2.1, 2.1),  # nearer and farther by more than 2 %, by less than 5.7 %
        (0, 0, 2.5, 0, 0),
        (2, 2, 0, 3, 3),
    ],
)
def test_what_stays(depths):
    depth = steps(*depths)
    np.testing.assert_array_equal(drop_flying_pixels(depth, WIDE), depth)


@pytest.mark.parametrize(("angle", "kept"), [(60, True), (79, True), (88, False)])
@pytest.mark.parametrize("camera", [LONG, WIDE])
def test_slanted_walls_stay_until_they_graze(camera, angle, kept):
    """A wall turned about the vertical, as far as it is in front of the camera."""
    slope = np.tan(np.radians(angle))
    inverse = 1 - slope * (camera.rays()[..., 0] - camera.rays()[0, 20, 0])  # of the depth
    depth = np.where(inverse > 0.1, 1 / np.maximum(inverse, 0.1), 0).astype(np.float32)
    found = drop_flying_pixels(depth, camera)
    assert (found[5:-5, 20] > 0).all() == kept


def test_empty_and_small_images():
    for shape in ((1, 1), (2, 3), (30, 40)):
        assert not drop_flying_pixels(np.zeros(shape, np.float32), LONG).any()
        assert (drop_flying_pixels(np.ones(shape, np.float32), LONG) == 1).all()
