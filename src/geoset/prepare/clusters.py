"""k-means over descriptors, the same result for the same seed."""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2

from geoset.errors import GeosetError

RESTARTS = 8
ROUNDS = 60  # of assigning and averaging, a restart


def z_scores(values: np.ndarray) -> np.ndarray:
    """Return (N,D) with mean 0 and deviation 1 of each column; a constant column is 0."""
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def cluster(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return (N,) int32 clusters of (N,D) by k-means, the best of several starts by k-means++.

    Numbered from the one with most members; 0 to count - 1, though the last may be empty when
    rows are equal.

    Raises:
        GeosetError: there are fewer rows than clusters.
    """
    if len(values) < count:
        raise GeosetError(
            f"{len(values)} sets cannot make {count} clusters; ask for fewer with --count, or give "
            "more scenes"
        )
    best, least = None, np.inf
    for rng in np.random.default_rng(seed).spawn(RESTARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of equal rows, which leave clusters empty
            centres, labels = kmeans2(values, count, iter=ROUNDS, minit="++", seed=rng)
        cost = np.square(values - centres[labels]).sum()
        if cost < least:
            best, least = labels, cost
    order = np.argsort(-np.bincount(best, minlength=count), kind="stable")
    number = np.empty(count, np.int32)
    number[order] = np.arange(count)
    return number[best]
