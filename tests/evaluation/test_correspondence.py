import pytest
import torch

from geoset.evaluation import correspondence
from geoset.evaluation.correspondence import (
    features_at,
    nearest_pixels,
    recall,
    viewing_angles,
)
from reference.correspondence import nearest_pixel, recall_of, viewing_angle


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [1, 2**24])
def test_nearest_pixels_are_those_of_a_loop(monkeypatch, block):
    monkeypatch.setattr(correspondence, "BLOCK", block)
    queries, features = drawn(7, 5), drawn(5, 3, 4, seed=1)
    found = nearest_pixels(queries, features, (30, 41))
    expected = [nearest_pixel(q, features.tolist(), (30, 41)) for q in queries.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_lengths_of_features_do_not_matter():
    queries, features = drawn(7, 5), drawn(5, 3, 4, seed=1)
    expected = nearest_pixels(queries, features, (6, 8))
    longer = features * torch.rand(1, 3, 4).add(0.1) * 100
    assert torch.equal(nearest_pixels(queries * 7, longer, (6, 8)), expected)


def test_half_precision_is_compared_in_float32():
    features = drawn(5, 3, 4).bfloat16()
    queries = features.flatten(1).T
    found = nearest_pixels(queries, features, (3, 4))
    assert found.dtype == torch.float32
    assert found.tolist() == [[x + 0.5, y + 0.5] for y in range(3) for x in range(4)]


def test_pixels_take_the_features_of_their_cells():
    """Cells of 2x3 pixels: (5.9, 1.9) is in the last cell of the first row, (0, 2) below it."""
    features = torch.arange(4.0).view(1, 2, 2)
    pixels = torch.tensor([[5.9, 1.9], [0.0, 2.0], [2.9, 1.5]])
    assert features_at(features, pixels, (4, 6)).tolist() == [[1], [2], [0]]


def test_viewing_angles():
    """From the origin: a right angle, the opposite side, the same direction, and any."""
    points = torch.zeros(1, 3)
    x, y = torch.tensor([2.0, 0, 0]), torch.tensor([0, 0.1, 0])
    for first, second, expected in ((x, y, 90), (x, -x, 180), (x, 3 * x, 0)):
        assert viewing_angles(points, first, second).item() == pytest.approx(expected)
    points, first, second = drawn(9, 3).double(), drawn(3, seed=1).double(), drawn(3).double() + 1
    expected = [viewing_angle(p, first.tolist(), second.tolist()) for p in points.tolist()]
    found = viewing_angles(points, first, second)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_recall_by_hand():
    """An angle on a border is in the upper bin, 180 in the last; an error of 5.0 is right."""
    angles = torch.tensor([0.0, 14.9, 15.0, 60.0, 180.0])
    errors = torch.tensor([5.0, 30.0, 7.0, 20.0, 20.1])
    found = recall(errors, angles, torch.tensor([0, 0, 0, 1, 2]))
    assert found.matches.tolist() == [2, 1, 0, 2, 5]
    assert found.pairs.tolist() == [1, 1, 0, 2, 3]
    nan = pytest.approx([float("nan")] * 3, nan_ok=True)
    expected = [[0.5, 0.5, 0.5], [0, 1, 1], nan, [0, 0, 0.5], pytest.approx([0.2, 0.4, 0.6])]
    assert found.share.tolist() == expected


def test_recall_is_that_of_a_loop():
    angles, errors = drawn(500).abs() * 60, drawn(500, seed=1).abs() * 15
    found = recall(errors, angles.clamp(max=179), torch.zeros(500)).share
    bins = [(0, 15), (15, 30), (30, 60), (60, 180), (0, 180)]
    expected = [
        [recall_of(errors.tolist(), angles.clamp(max=179).tolist(), *b, p) for p in (5, 10, 20)]
        for b in bins
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
