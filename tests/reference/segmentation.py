"""Scores of segmentation, pixel by pixel and class by class, as they are defined."""

import math


def confusion(predicted, truth, classes):
    """Rows of counts from lists of labels; -1 on either side does not count."""
    counts = [[0] * classes for _ in range(classes)]
    for p, t in zip(predicted, truth, strict=True):
        if p >= 0 and t >= 0:
            counts[t][p] += 1
    return counts


def iou(predicted, truth, label):
    """Intersection over union of the pixels of one class; NaN where there are none."""
    pairs = [(p, t) for p, t in zip(predicted, truth, strict=True) if p >= 0 and t >= 0]
    both = sum(p == label and t == label for p, t in pairs)
    either = sum(p == label or t == label for p, t in pairs)
    return both / either if either else math.nan


def mean_iou(predicted, truth, classes, absent_as_zero=False):
    """Mean over the classes that are there or predicted, or over all, absent ones at 0."""
    found = [iou(predicted, truth, label) for label in range(classes)]
    if absent_as_zero:
        return sum(0 if math.isnan(x) else x for x in found) / classes
    found = [x for x in found if not math.isnan(x)]
    return sum(found) / len(found)


def accuracy(predicted, truth):
    pairs = [(p, t) for p, t in zip(predicted, truth, strict=True) if p >= 0 and t >= 0]
    return sum(p == t for p, t in pairs) / len(pairs)
