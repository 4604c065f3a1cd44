import numpy as np
import pytest

from geoset.data.label_set import first_share, instances_from


def by_loops(labels, numbers, rows, columns):
    """{(class, number): (pixels in the label image, mask in the image)}."""
    things = {}
    for (y, x), label in np.ndenumerate(labels):
        if label >= 0 and numbers[y, x] > 0:
            key = (int(label), int(numbers[y, x]))
            things.setdefault(key, np.zeros(labels.shape, bool))[y, x] = True
    return {key: (mask.sum(), mask[np.ix_(rows, columns)]) for key, mask in things.items()}


@pytest.mark.parametrize("height", [3, 7, 20])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_equals_plain_loops(kind, height):
    chance = np.random.default_rng(height)
    labels = chance.integers(-1, 4, (7, 9))
    numbers = chance.integers(0, 4, (7, 9)).astype(kind)
    labels[:, 5:], numbers[:, 5:] = labels[:, 4:5], numbers[:, 4:5]  # runs
    numbers[labels == 3] += 250
    rows, columns = np.arange(height) * 7 // height, np.arange(12) * 9 // 12
    found = instances_from(labels, numbers, (rows[:, None], columns))
    expected = by_loops(labels, numbers, rows, columns)
    assert found.labels.tolist() == [label for label, _ in sorted(expected)]
    assert found.areas.tolist() == [area for _, (area, _) in sorted(expected.items())]
    assert found.masks.dtype == bool and found.masks.shape == (len(expected), height, 12)
    for mask, key in zip(found.masks, sorted(expected), strict=True):
        np.testing.assert_array_equal(mask, expected[key][1])


def test_more_instances_than_a_byte_counts():
    numbers = np.arange(1, 301, dtype=np.uint16).reshape(15, 20)
    found = instances_from(np.zeros((15, 20), np.int64), numbers)
    np.testing.assert_array_equal(found.masks, numbers == np.arange(1, 301)[:, None, None])


@pytest.mark.parametrize(("label", "number"), [(-1, 3), (2, 0)])
def test_none(label, number):
    found = instances_from(np.full((4, 5), label), np.full((4, 5), number, np.uint8))
    assert found.masks.shape == (0, 4, 5)
    assert len(found.labels) == len(found.areas) == 0


def test_a_share_is_what_it_says_whatever_its_binary_digits():
    assert 0.07 * 100 > 7
    assert first_share([[k] for k in range(100)], 0.07) == list(range(7))
    assert first_share([[0, 1], [2], [3, 4]], 0.5) == [0, 1, 2]  # whole scenes
