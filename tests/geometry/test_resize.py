import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.geometry.resize import every_nth_pixel

CAMERA = Camera(np.array([[60.0, 0.5, 31.5], [0, 70.0, 44.0], [0, 0, 1]]), 64, 97)


@pytest.mark.parametrize(("longest", "step"), [(200, 1), (97, 1), (96, 2), (48, 3), (20, 5)])
def test_every_nth_pixel_sees_what_it_saw(longest, step):
    depth = np.random.default_rng(0).random((97, 64))
    kept, camera = every_nth_pixel(depth, CAMERA, longest)
    first = step // 2
    assert kept.shape == (camera.height, camera.width) and max(kept.shape) <= longest
    np.testing.assert_array_equal(kept, depth[first::step, first::step])
    np.testing.assert_allclose(camera.rays(), CAMERA.rays()[first::step, first::step], atol=1e-12)
    assert CAMERA.K[0, 2] == 31.5  # the original is untouched
