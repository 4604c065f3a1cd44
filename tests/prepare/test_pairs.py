import numpy as np
import pytest

from geoset.prepare.pairs import mine_pairs, surface_cells, thin
from reference.pairs import cell_of, mine_pairs_slowly


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_overlap", [0.0, 0.3, 0.5, 1.0])
def test_mining_agrees_with_the_plain_loop(seed, min_overlap):
    rng = np.random.default_rng(seed)
    sizes = [*rng.integers(0, 60, 15), 0, 1]
    cells = [np.sort(rng.choice(90, size, replace=False)) for size in sizes]
    pairs, overlap = mine_pairs(cells, min_overlap)
    expected = mine_pairs_slowly(cells, min_overlap)
    assert pairs.dtype == np.int32 and overlap.dtype == np.float32
    assert pairs.tolist() == [[first, second] for first, second, _ in expected]
    np.testing.assert_allclose(overlap, [share for *_, share in expected], rtol=1e-6)


def test_overlap_is_the_larger_ratio_and_the_limit_counts():
    # 3 shared cells of 10 and of 20: ratios 0.3 and 0.15
    cells = [np.arange(10), np.arange(7, 27), np.arange(8, 20)]
    pairs, overlap = mine_pairs(cells, 0.3)
    # frames 1 and 2 share 8..19, all of frame 2; frames 0 and 2 share 2 of 10
    assert pairs.tolist() == [[0, 1], [1, 2]]
    np.testing.assert_array_equal(overlap, np.float32([0.3, 1.0]))


@pytest.mark.parametrize("cells", [[], [np.arange(3)], [np.empty(0, dtype=int)] * 3])
def test_no_pairs(cells):
    pairs, overlap = mine_pairs(cells, 0.0)
    assert pairs.shape == (0, 2) and overlap.shape == (0,)


def test_cells_are_cubes_of_5_cm_on_both_sides_of_the_origin():
    vertices = np.random.default_rng(0).uniform(-0.3, 0.3, (2000, 3)).astype(np.float32)
    index = surface_cells(vertices)
    expected = [cell_of(vertex) for vertex in vertices.astype(float)]
    assert index.shape == (2000,)
    assert len({*index.tolist()}) == len({*expected}) == len({*zip(index, expected, strict=True)})


def test_thinning_is_even_and_repeatable():
    rows = np.arange(1000)
    few = thin(rows, 100)
    assert len(few) == len({*few.tolist()}) == 100
    assert (np.diff(few) > 0).all()
    assert 30 < (few < 500).sum() < 70
    np.testing.assert_array_equal(thin(rows, 100), few)


@pytest.mark.parametrize("most", [3, 4])
def test_nothing_to_thin(most):
    assert thin(np.arange(3), most).tolist() == [0, 1, 2]
