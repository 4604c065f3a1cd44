"""COCO's average precision, from its definition, one detection at a time."""

import math


def box_of(mask):
    """x1, y1, x2, y2 around the pixels of a mask, edges at whole numbers."""
    rows = [y for y in range(mask.shape[0]) if mask[y].any()]
    columns = [x for x in range(mask.shape[1]) if mask[:, x].any()]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def mask_iou(a, b):
    return (a & b).sum() / (a | b).sum()


def box_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def precision_at(truth, found, threshold, iou):
    """Average precision of one class at one IoU threshold.

    truth: for each image, its objects; found: for each image, (score, object)s
    """
    matched = [[False] * len(objects) for objects in truth]
    hits = []
    everything = [(score, i, thing) for i, each in enumerate(found) for score, thing in each]
    for _, image, thing in sorted(everything, key=lambda item: -item[0]):
        best, best_iou = None, threshold
        for k, other in enumerate(truth[image]):
            overlap = iou(thing, other)
            if not matched[image][k] and overlap >= best_iou:
                best, best_iou = k, overlap
        if best is not None:
            matched[image][best] = True
        hits.append(best is not None)
    total = sum(len(objects) for objects in truth)
    curve = [(sum(hits[: n + 1]) / total, sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    # At each of 101 recalls, the best precision at that recall or a higher one.
    levels = [
        max((p for r, p in curve if r >= level / 100 - 1e-12), default=0.0) for level in range(101)
    ]
    return math.fsum(levels) / 101


def average_precision(truth, found, iou):
    """(AP, AP50, AP75) of one class."""
    thresholds = [0.5 + 0.05 * step for step in range(10)]
    each = [precision_at(truth, found, threshold, iou) for threshold in thresholds]
    return sum(each) / 10, each[0], each[5]
