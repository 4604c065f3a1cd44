"""What a set is like, in six numbers of its geometry, and where it is seen."""

from dataclasses import dataclass

import numpy as np

from geoset.geometry.mesh import face_normals
from geoset.prepare.groups import set_count
from geoset.prepare.scene import PreparedScene

DESCRIPTORS = (
    "height",  # metres above the floor, of the centre
    "horizontality",  # mean |n . up|: 1 for a table top
    "verticality",  # mean length of n across up: 1 for a wall
    "length",  # log of metres, along the longer horizontal principal axis
    "width",  # log of metres, along the shorter one
    "rise",  # log of metres, along gravity
)
FINEST = 0.01  # metres, added to extents before their logarithm


@dataclass(frozen=True)
class SeenSets:
    """Where the sets of a layer are seen.

    pixels: (S,) int64, over all frames
    best_frame: (S,) int64, the frame in which a set has most pixels; most: (S,) int64, how many
    """

    pixels: np.ndarray
    best_frame: np.ndarray
    most: np.ndarray


def see_sets(scene: PreparedScene, layer: str) -> SeenSets:
    """Count the pixels of each set of a layer, over all frames of a scene."""
    labels = scene.sets(layer)
    count = set_count(labels)
    pixels, best_frame, most = np.zeros((3, count), np.int64)
    for i in range(len(scene)):
        set_map = scene.set_map(i, layer)
        here = np.bincount(set_map[set_map >= 0], minlength=count)
        pixels += here
        best_frame[here > most] = i
        most = np.maximum(most, here)
    return SeenSets(pixels, best_frame, most)


def describe_sets(
    vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray, up: np.ndarray, floor: float
) -> np.ndarray:
    """Return the DESCRIPTORS of each set, (S,6) float64; NaN for a set without area.

    Every face gives a third of its area, and its normal, to the set of each of its corners; all
    means are weighted by that area. An extent is the standard deviation, as it is for a plank:
    a third of its length or so; the rise is thus also the spread of heights.

    vertices: (V,3); faces: (F,3); labels: (V,), -1 = in no set
    up: (3,) unit length; floor: its height along `up`
    """
    count = set_count(labels)
    normals = face_normals(vertices.astype(np.float64), faces)
    areas = np.linalg.norm(normals, axis=1)
    cosine = np.abs(normals @ up) / np.maximum(areas, 1e-30)
    corner = np.column_stack([np.repeat(x, 3) for x in (cosine, areas)])
    labels_of_corner = labels[faces].reshape(-1)
    inside = (labels_of_corner >= 0) & (corner[:, 1] > 0)
    (cosine, areas), set_of = corner[inside].T, labels_of_corner[inside]
    total = np.bincount(set_of, areas, count).astype(np.float64)  # of no corner, they are integers
    total[total == 0] = np.nan

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(set_of, areas * values, count) / total

    # Coordinates along two horizontal axes and up.
    axes = np.linalg.svd(up[None])[2][[1, 2, 0]]
    axes[2] = up
    points = vertices.astype(np.float64)[faces].reshape(-1, 3)[inside] @ axes.T
    centre = np.column_stack([mean(p) for p in points.T])
    x, y, z = (points - centre[set_of]).T
    xx, yy, xy = mean(x * x), mean(y * y), mean(x * y)
    half, root = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)  # eigenvalues are half +- root
    extents = np.sqrt(np.maximum([half + root, half - root, mean(z * z)], 0))
    angles = mean(cosine), mean(np.sqrt(np.maximum(1 - cosine**2, 0)))
    return np.column_stack([centre[:, 2] - floor, *angles, *np.log(extents + FINEST)])
