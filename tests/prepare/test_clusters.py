"""k-means on points whose clusters are plain to see."""

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.prepare.clusters import cluster, z_scores


def blobs(sizes, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 20]])[: len(sizes)]
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return centres[truth] + rng.normal(0, 0.3, (len(truth), 2)), truth


def test_blobs_are_found_and_numbered_from_the_largest():
    sizes = [5, 80, 20, 40, 10]
    values, truth = blobs(sizes)
    found = cluster(values, 5, seed=0)
    rank = np.argsort(np.argsort(-np.array(sizes)))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, rank[truth])


def test_the_same_seed_gives_the_same_clusters():
    values = np.random.default_rng(3).normal(size=(300, 4))
    np.testing.assert_array_equal(cluster(values, 20, seed=1), cluster(values, 20, seed=1))
    assert (cluster(values, 20, seed=1) != cluster(values, 20, seed=2)).any()


def test_every_row_is_with_its_nearest_centre():
    values = np.random.default_rng(4).normal(size=(400, 3))
    found = cluster(values, 6, seed=0)
    centres = np.stack([values[found == k].mean(axis=0) for k in range(6)])
    nearest = np.linalg.norm(values[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == found).mean() > 0.99  # but for the last round, it is a fixed point


def test_equal_rows_leave_clusters_empty_without_a_word(recwarn):
    found = cluster(np.zeros((6, 2)), 3, seed=0)
    assert found.tolist() == [0] * 6
    assert len(recwarn) == 0


def test_more_clusters_than_sets():
    expected = "4 sets cannot make 5 clusters; ask for fewer with --count, or give more scenes"
    with pytest.raises(GeosetError, match=expected):
        cluster(np.zeros((4, 2)), 5, seed=0)


def test_z_scores():
    values = np.array([[1.0, 7], [3, 7]])
    assert z_scores(values).tolist() == [[-1, 0], [1, 0]]
