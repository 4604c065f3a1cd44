"""The depth proxy loss as Hu et al. (2019) write it, one pixel at a time."""

from math import floor

import torch

SOBEL_X = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
SOBEL_Y = [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]


def upsample(small, height, width):
    """Bilinear, the corners of both maps being the same points; (h,w) to rows of scalars."""
    h, w = small.shape

    def along(k, size, small_size):
        position = k * (small_size - 1) / (size - 1)
        first = min(floor(position), small_size - 2)
        return first, position - first

    rows = []
    for y in range(height):
        i, t = along(y, height, h)
        rows.append([])
        for x in range(width):
            j, s = along(x, width, w)
            top = small[i, j] * (1 - s) + small[i, j + 1] * s
            bottom = small[i + 1, j] * (1 - s) + small[i + 1, j + 1] * s
            rows[-1].append(top * (1 - t) + bottom * t)
    return rows


def sobel(depth, kernel, y, x):
    return sum(kernel[i][j] * depth[y + i - 1][x + j - 1] for i in range(3) for j in range(3))


def log_distance(a, b):
    return torch.log(torch.abs(a - b) + 0.5)


def normal(dx, dy):
    return torch.stack([-dx, -dy, torch.ones_like(dx)])


def depth_loss(predicted, depth):
    """Return the loss and its three terms."""
    logs, gradients, normals = [], [], []
    views, height, width = depth.shape
    for v in range(views):
        p, d = upsample(predicted[v], height, width), depth[v]
        for y in range(height):
            for x in range(width):
                if d[y, x] > 0:
                    logs.append(log_distance(p[y][x], d[y, x]))
                window = d[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                if window.shape == (3, 3) and (window > 0).all():
                    px, dx = sobel(p, SOBEL_X, y, x), sobel(d, SOBEL_X, y, x)
                    py, dy = sobel(p, SOBEL_Y, y, x), sobel(d, SOBEL_Y, y, x)
                    gradients.append(log_distance(px, dx) + log_distance(py, dy))
                    a, b = normal(px, py), normal(dx, dy)
                    normals.append(1 - a @ b / (a.norm() * b.norm()))
    terms = [sum(values) / len(values) for values in (logs, gradients, normals)]
    return sum(terms) / 3, *terms
