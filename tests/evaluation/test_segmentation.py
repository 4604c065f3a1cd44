import math

import pytest
import torch

from geoset.evaluation.segmentation import confusion_matrix, score
from reference import segmentation as reference

NAMES = ("wall", "floor", "chair", "lamp")
TRUTH = torch.tensor([[0, 0, 0, 1], [1, 2, -1, -1]])
PREDICTED = torch.tensor([[0, 0, 1, 1], [2, 2, 0, 3]])


def test_confusion_by_hand():
    """Rows are the truth; the two pixels without a label count nowhere."""
    found = confusion_matrix(PREDICTED, TRUTH, 4)
    assert found.dtype == torch.int64
    assert found.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def labels(seed, used, shape=(3, 20, 20)):
    """Labels from -1 to used - 1."""
    return torch.randint(-1, used, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("used", [5, 3])
def test_scores_of_a_loop(used):
    """With 3 classes used of 5, two are absent. A prediction of -1 is "void"."""
    truth, predicted = labels(0, used), labels(1, used)
    flat = predicted.flatten().tolist(), truth.flatten().tolist()
    found = confusion_matrix(predicted, truth, 5)
    assert found.tolist() == reference.confusion(*flat, 5)
    names = tuple("abcde")
    strict, pri3d = score(found, names), score(found, names, absent_as_zero=True)
    assert strict.iou == pytest.approx(
        {x: reference.iou(*flat, k) for k, x in enumerate(names[:used])}
    )
    assert strict.mean_iou() == pytest.approx(reference.mean_iou(*flat, 5))
    assert pri3d.mean_iou() == pytest.approx(reference.mean_iou(*flat, 5, absent_as_zero=True))
    assert strict.absent == pri3d.absent == names[used:]
    assert set(pri3d.iou) == set(names)
    assert strict.pixel_accuracy == pytest.approx(reference.accuracy(*flat))


def test_parts_add_up():
    truth, predicted = labels(0, 5), labels(1, 5)
    parts = sum(confusion_matrix(p, t, 5) for p, t in zip(predicted, truth, strict=True))
    assert torch.equal(parts, confusion_matrix(predicted, truth, 5))


def test_nothing_labelled():
    found = confusion_matrix(torch.zeros(2, 3).long(), torch.full((2, 3), -1), 4)
    assert found.shape == (4, 4)
    assert not found.any()
    result = score(found, NAMES)
    assert result.iou == {}
    assert result.pixel_accuracy == 0
    assert math.isnan(result.mean_iou())


def test_scores_by_hand():
    """IoU: wall 2/3, floor 1/3, chair 1/2; no lamp in truth or prediction, so it is left out."""
    result = score(confusion_matrix(PREDICTED, TRUTH, 4), NAMES)
    assert result.iou == pytest.approx({"wall": 2 / 3, "floor": 1 / 3, "chair": 1 / 2})
    assert result.mean_iou() == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)
    assert result.pixel_accuracy == pytest.approx(4 / 6)


def test_mean_over_chosen_classes():
    result = score(confusion_matrix(PREDICTED, TRUTH, 4), NAMES)
    assert result.mean_iou(["wall", "chair"]) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result.mean_iou(["wall", "lamp"]) == pytest.approx(2 / 3)
    assert math.isnan(result.mean_iou(["lamp"]))
    assert math.isnan(result.mean_iou([]))


@pytest.mark.parametrize("lamp_is", ["missed", "invented"])
def test_a_class_in_truth_or_prediction_alone_counts_as_0(lamp_is):
    lamp, wall = torch.tensor([3, 0]), torch.tensor([0, 0])
    predicted, truth = (wall, lamp) if lamp_is == "missed" else (lamp, wall)
    result = score(confusion_matrix(predicted, truth, 4), NAMES)
    assert result.iou == {"wall": 0.5, "lamp": 0.0}
    assert result.mean_iou() == 0.25


def test_one_matrix_for_all_images_is_no_mean_of_images():
    """Image 1: 1 of 1 chair pixels right; image 2: 0 of 9. Together 1/10, not 1/2."""
    truth = torch.full((10,), 2)
    predicted = torch.tensor([2] + [0] * 9)
    confusion = confusion_matrix(predicted[:1], truth[:1], 4)
    confusion += confusion_matrix(predicted[1:], truth[1:], 4)
    assert score(confusion, NAMES).iou["chair"] == pytest.approx(1 / 10)
