"""Semantic segmentation scores from one confusion matrix over a whole set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def confusion_matrix(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count (truth, prediction) pairs, (classes, classes) int64; truth -1 is left out."""
    labelled = truth >= 0
    index = truth[labelled] * classes + predicted[labelled]
    return torch.bincount(index, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class SegmentationScore:
    """iou: by class name, absent where neither prediction nor truth has the class."""

    iou: dict[str, float]
    pixel_accuracy: float

    def mean_iou(self, classes: Sequence[str] | None = None) -> float:
        """Return the mean over `classes`, by default all that occur; NaN if none does."""
        names = self.iou if classes is None else classes
        chosen = [self.iou[name] for name in names if name in self.iou]
        return sum(chosen) / len(chosen) if chosen else float("nan")


def score(confusion: Tensor, names: Sequence[str]) -> SegmentationScore:
    """Turn a confusion matrix (C,C), rows the truth, into scores."""
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = {name: float(hit[k] / union[k]) for k, name in enumerate(names) if union[k] > 0}
    return SegmentationScore(iou, float(hit.sum() / confusion.sum().clamp(min=1)))
