import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.prepare.pairs import choose_pairs, mine_pairs, surface_cells, thin
from geoset.prepare.residual import depth_thumbnail
from geoset.recipes import PrepareSettings
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


CAMERA = Camera(np.array([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]]), 80, 60)


def facing_walls(*distances):
    """Frames of one camera and the same 50 cells, each before a wall; 0 = no depth."""
    views = [
        depth_thumbnail(np.full((60, 80), distance, np.float32), CAMERA, np.eye(4))
        for distance in distances
    ]
    return [np.arange(50)] * len(views), views


@pytest.mark.parametrize(
    ("limit", "kept", "left_out"),
    [
        (0.05, [[0, 1], [0, 3], [1, 2], [1, 3], [2, 3]], {"residual above 0.05 m": 1}),
        (0.005, [[0, 3], [1, 3], [2, 3]], {"residual above 0.005 m": 3}),
        (None, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]], {}),
    ],
)
def test_pairs_that_disagree_are_left_out_and_what_is_unknown_stays(limit, kept, left_out):
    # walls at 2.00, 2.04 and 2.08 m, and a frame without depth
    frames = facing_walls(2.0, 2.04, 2.08, 0)
    arrays, found = choose_pairs(*frames, PrepareSettings(max_pair_residual=limit))
    assert arrays["pairs"].tolist() == kept
    expected = [np.nan if b == 3 else 0.04 * (b - a) for a, b in kept]
    np.testing.assert_allclose(arrays["residual"], expected, atol=1e-6)
    assert arrays["residual"].dtype == np.float32 and len(arrays["overlap"]) == len(kept)
    known = [r for r in expected if np.isfinite(r)]
    assert found == {
        "found": 6,
        "kept": len(kept),
        "left_out": left_out,
        "residual": pytest.approx(np.median(known)) if known else None,
    }


def test_pairs_are_thinned_after_those_that_disagree_are_left_out():
    frames = facing_walls(2.0, 2.0, 2.0, 2.5)
    arrays, found = choose_pairs(*frames, PrepareSettings(max_pairs_per_scene=2))
    assert len(arrays["pairs"]) == 2 and arrays["pairs"].max() == 2
    assert found["left_out"] == {"residual above 0.05 m": 3, "more than 2 pairs": 1}
    assert (found["found"], found["kept"], found["residual"]) == (6, 2, 0)
