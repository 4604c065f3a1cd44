"""Voxels, the pixels that see them and the Geo loss, one vertex, voxel and sample at a time."""

from math import ceil, floor

import numpy as np
import torch

from reference.losses import info_nce, unit


def voxelize(vertices, colors, size):
    """Return {cell: (mean colour, vertices inside)}."""
    members = {}
    for k, vertex in enumerate(vertices.astype(float)):
        members.setdefault(tuple(floor(x / size) for x in vertex), []).append(k)
    return {
        cell: (colors[inside].astype(float).mean(axis=0), inside)
        for cell, inside in members.items()
    }


def box_of_depth(depth, K, world_from_camera):
    """The corners, in whole metres, of the box around the points of a depth map."""
    points = []
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if depth[y, x] > 0:
                ray = np.linalg.solve(K, [x + 0.5, y + 0.5, 1])
                points.append((world_from_camera @ [*(ray * depth[y, x]), 1])[:3])
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    return [floor(x) for x in low], [ceil(x) for x in high]


def cells_in_box(cells, size, low, high):
    return {
        cell for cell in cells if all(low[k] <= (cell[k] + 0.5) * size < high[k] for k in range(3))
    }


def landing(cell, size, K, world_from_camera, depth, tolerance=0.2):
    """The pixel (x, y) that sees a voxel by Pri3D's rule, or None."""
    center = [*((np.array(cell) + 0.5) * size), 1]
    point = (np.linalg.inv(world_from_camera) @ center)[:3]
    if point[2] <= 0:
        return None
    x, y = (floor(value) for value in (K @ point)[:2] / point[2])
    height, width = depth.shape
    if not (0 <= x < width and 0 <= y < height) or depth[y, x] == 0:
        return None
    return (x, y) if abs(point[2] - depth[y, x]) < tolerance else None


def point_info_nce(pixels, points, count, temperature):
    """Return loss, views, chance, mean positive and mean negative dot product."""
    losses, chances, positives, negatives = [], [], [], []
    for view, samples in enumerate(count.tolist()):
        if not samples:
            continue
        queries = [unit(row) for row in pixels[view, :samples]]
        keys = [unit(row) for row in points[view, :samples]]
        costs = []
        for own, other in ((queries, keys), (keys, queries)):
            for i, query in enumerate(own):
                others = [key for j, key in enumerate(other) if j != i]
                costs.append(info_nce(query, [other[i]], others, temperature))
                positives.append(query @ other[i])
                negatives += [query @ key for key in others]
        losses.append(sum(costs) / (2 * samples))
        chances.append(torch.tensor(float(samples), dtype=torch.float64).log())
    views = len(losses)
    means = [sum(values) / len(values) for values in (losses, chances, positives, negatives)]
    return means[0], views, *means[1:]
