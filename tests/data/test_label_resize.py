"""Labelled images brought to one size."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from geoset.data.label_resize import resized, window
from geoset.data.label_set import Instances
from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.prepare.views import cover
from reference.labelled import resize_nearest


@dataclass(frozen=True)
class OneImage:
    """A labelled set of one image."""

    pixels: np.ndarray
    labels: np.ndarray
    things: Instances | None = None
    name: str = "one"
    classes: tuple = tuple("abcdefg")
    instance_classes: tuple = ("b",)

    def __len__(self):
        return 1

    def image_id(self, i):
        return "first"

    def image(self, i):
        return self.pixels

    def semantic(self, i):
        return self.labels

    def instances(self, i):
        return self.things


def random_image(shape, seed=0):
    rng = np.random.default_rng(seed)
    return OneImage(rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(-1, 7, shape))


@pytest.mark.parametrize("shape", [(968, 1296), (480, 640), (427, 561), (100, 100), (240, 320)])
@pytest.mark.parametrize("size", [(240, 320), (96, 128), (30, 31)])
def test_the_window_is_that_of_prepared_scenes(shape, size):
    camera = Camera(np.diag([100.0, 100.0, 1.0]), shape[1], shape[0])
    assert window(shape, size) == pytest.approx(cover(camera, size)[1])


@pytest.mark.parametrize("shape", [(9, 12), (30, 20), (7, 40), (6, 8), (3, 4)])
def test_labels_are_those_of_pixel_centres(shape):
    found = resized(random_image(shape), (6, 8)).semantic(0)
    assert found.dtype == np.int64
    assert np.array_equal(found, resize_nearest(random_image(shape).labels, (6, 8)))


def test_images_are_means_over_areas():
    """Twice the size and two columns too many: means of 2x2 pixels, without the outer columns."""
    source = random_image((12, 18))
    found = resized(source, (6, 8)).image(0)
    inner = source.pixels[:, 1:-1].astype(float)
    expected = inner.reshape(6, 2, 8, 2, 3).mean(axis=(1, 3))
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 1  # each direction rounds


def test_enlarged_images_are_interpolated():
    """Columns 0 and 100 become four: new centres lie a quarter and three quarters between."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, 1] = 100
    found = resized(OneImage(pixels, np.zeros((2, 2), int)), (4, 4)).image(0)
    assert found[0, :, 0].tolist() == [0, 25, 75, 100]


def test_images_and_labels_stay_aligned():
    """An image that shows its labels still does, where no two labels share a pixel."""
    labels = np.random.default_rng(3).integers(0, 7, (6, 10)).repeat(10, axis=0).repeat(10, axis=1)
    pixels = (labels * 30).astype(np.uint8)[..., None].repeat(3, axis=2)
    found = resized(OneImage(pixels, labels), (30, 40))
    assert np.array_equal(found.image(0)[..., 0], found.semantic(0) * 30)


def test_the_size_it_has_changes_nothing():
    source = random_image((6, 8))
    found = resized(source, (6, 8))
    assert np.array_equal(found.image(0), source.pixels)
    assert np.array_equal(found.semantic(0), source.labels)


def test_instances_that_vanish_are_left_out():
    masks = np.zeros((3, 12, 16), bool)
    masks[0, :6, :8] = True
    masks[1, 0, 0] = True  # no new pixel's centre falls on it
    masks[2, 6:, 8:] = True
    things = Instances(masks, np.array([4, 5, 6]))
    found = resized(replace(random_image((12, 16)), things=things), (3, 4)).instances(0)
    assert found.labels.tolist() == [4, 6]
    assert found.areas.tolist() == [48, 48]
    assert found.masks.shape == (2, 3, 4)
    assert np.argwhere(found.masks[0]).max(axis=0).tolist() == [0, 1]  # centres at 2 and 6
    things = things._replace(areas=np.array([5, 6, 7]))
    found = resized(replace(random_image((12, 16)), things=things), (3, 4)).instances(0)
    assert found.areas.tolist() == [5, 7]


def test_the_rest_is_that_of_the_set():
    source = random_image((6, 8))
    found = resized(source, (3, 4))
    assert (len(found), found.image_id(0), found.name) == (1, "first", "one at 3x4")
    assert (found.classes, found.instance_classes) == (source.classes, ("b",))


@pytest.mark.parametrize("size", [(0, 4), (4,), (1, 2, 3)])
def test_no_size(size):
    with pytest.raises(GeosetError, match=r"size is \(.*\), expected height and width"):
        resized(random_image((6, 8)), size)
