"""Semantic segmentation scores from one confusion matrix over a whole set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def confusion_matrix(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pairs of labels from 0 to `classes` - 1, (classes, classes) int64, rows the truth.

    Pixels whose truth or prediction is -1 are left out. Does not wait for the device.
    """
    counted = (truth >= 0) & (predicted >= 0)
    index = torch.where(counted, truth * classes + predicted, classes**2).flatten()
    counts = index.new_zeros(classes**2 + 1).scatter_add_(0, index, torch.ones_like(index))
    return counts[:-1].reshape(classes, classes)


@dataclass(frozen=True)
class SegmentationScore:
    """What `score` finds.

    iou: by class name, of all classes that the mean is over
    pixel_accuracy: share of the pixels whose prediction is the truth
    absent: classes that neither prediction nor truth has
    """

    iou: dict[str, float]
    pixel_accuracy: float
    absent: tuple[str, ...]

    def mean_iou(self, classes: Sequence[str] | None = None) -> float:
        """Return the mean over `classes`, by default all that count; NaN if none does."""
        names = self.iou if classes is None else classes
        chosen = [self.iou[name] for name in names if name in self.iou]
        return sum(chosen) / len(chosen) if chosen else float("nan")


def score(
    confusion: Tensor, names: Sequence[str], *, absent_as_zero: bool = False
) -> SegmentationScore:
    """Turn a confusion matrix (C,C), rows the truth, into scores.

    absent_as_zero: classes that are absent have an IoU of 0 (Pri3D), and do not just not count
    """
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    absent = tuple(name for k, name in enumerate(names) if union[k] == 0)
    iou = {
        name: float(hit[k] / union[k].clamp(min=1))
        for k, name in enumerate(names)
        if absent_as_zero or name not in absent
    }
    return SegmentationScore(iou, float(hit.sum() / confusion.sum().clamp(min=1)), absent)
