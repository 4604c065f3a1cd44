"""Labels and instances, pixel by pixel."""

import numpy as np


def instances_of(labels, numbers):
    """Return {(number, label): set of (row, column)} of pixels that have both."""
    found = {}
    for row in range(labels.shape[0]):
        for column in range(labels.shape[1]):
            label, number = int(labels[row, column]), int(numbers[row, column])
            if label >= 0 and number > 0:
                found.setdefault((number, label), set()).add((row, column))
    return found


def pixels_of(instances):
    """Return the sorted (label, pixels) of `Instances`."""
    return sorted(
        (int(label), sorted(map(tuple, np.argwhere(mask).tolist())))
        for mask, label in zip(instances.masks, instances.labels, strict=True)
    )


def resize_nearest(labels, size):
    """Return labels (H,W) at `size`: scaled to cover it, the middle kept, the pixel under each."""
    scale = max(size[0] / labels.shape[0], size[1] / labels.shape[1])
    result = np.empty(size, labels.dtype)
    for y in range(size[0]):
        for x in range(size[1]):
            # from the middle of the new image to the middle of the old one
            old_y = labels.shape[0] / 2 + (y + 0.5 - size[0] / 2) / scale
            old_x = labels.shape[1] / 2 + (x + 0.5 - size[1] / 2) / scale
            result[y, x] = labels[int(old_y), int(old_x)]
    return result


def box_of(mask):
    """Return x0, y0, x1, y1 of the outer edges of a mask's pixels."""
    pixels = [(y, x) for y in range(len(mask)) for x in range(len(mask[0])) if mask[y][x]]
    rows, columns = zip(*pixels, strict=True)
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]
