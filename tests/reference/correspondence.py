"""Nearest cells, angles and recalls, a match at a time."""

import math


def nearest_pixel(query, features, image_size):
    """The centre of the cell most like `query`; features: [C][h][w] lists."""
    height, width = image_size
    h, w = len(features[0]), len(features[0][0])
    best, place = -math.inf, None
    for row in range(h):
        for column in range(w):
            cell = [channel[row][column] for channel in features]
            dot = sum(a * b for a, b in zip(query, cell, strict=True))
            length = math.sqrt(sum(a * a for a in query)) * math.sqrt(sum(b * b for b in cell))
            if dot / length > best:
                best, place = dot / length, ((column + 0.5) * width / w, (row + 0.5) * height / h)
    return place


def viewing_angle(point, first, second):
    """Degrees, by the law of cosines."""
    a, b, c = math.dist(point, first), math.dist(point, second), math.dist(first, second)
    return math.degrees(math.acos((a * a + b * b - c * c) / (2 * a * b)))


def recall_of(errors, angles, low, high, pixels):
    """Share of the matches of low <= angle < high that are found within `pixels`."""
    inside = [e for e, a in zip(errors, angles, strict=True) if low <= a < high]
    return sum(e <= pixels for e in inside) / len(inside) if inside else math.nan
