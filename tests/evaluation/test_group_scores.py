"""Scores of groupings, worked out by hand and set by set."""

import numpy as np
import pytest

from geoset.evaluation.groups import score_groups
from reference.groups import score


def test_by_hand():
    """Group 0: chairs of scenes 0, 1, 2 and a table of scene 0. Group 1: a table of scene 1.

    Purity: 3 + 1 of 5. Pairs of different scenes in group 0: three of chairs, and the table with
    the chairs of scenes 1 and 2: 3 of 5 are alike. Pairs of one class: three of chairs, one of
    tables that is torn apart: 3 of 4. All pairs of different scenes: scenes hold 2, 2 and 1 sets,
    so 4 + 2 + 2 = 8, of which 4 are alike.
    """
    groups = np.array([0, 0, 0, 0, 1, -1, 0])
    classes = np.array([9, 9, 9, 4, 4, 9, -1])  # the last two are not counted
    scenes = np.array([0, 1, 2, 0, 1, 1, 2])
    found = score_groups(groups, classes, scenes)
    assert found.purity == pytest.approx(4 / 5)
    assert found.pair_precision == pytest.approx(3 / 5)
    assert found.completeness == pytest.approx(3 / 4)
    assert found.chance == pytest.approx(4 / 8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_against_set_by_set(seed, weighted):
    rng = np.random.default_rng(seed)
    groups, classes = rng.integers(-1, 5, 60), 7 * rng.integers(0, 4, 60) - 1
    scenes, weights = rng.integers(0, 4, 60), rng.integers(0, 500, 60)
    found = score_groups(groups, classes, scenes, weights if weighted else None)
    expected = score(groups, classes, scenes, weights if weighted else np.ones(60))
    values = found.purity, found.pair_precision, found.completeness, found.chance
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_the_classes_themselves_and_everything_in_one():
    rng = np.random.default_rng(0)
    classes, scenes = rng.integers(0, 5, 100), rng.integers(0, 6, 100)
    best = score_groups(classes + 3, classes, scenes)
    assert (best.purity, best.pair_precision, best.completeness) == (1, 1, 1)
    one = score_groups(np.zeros(100, int), classes, scenes)
    assert one.completeness == 1 and one.pair_precision == pytest.approx(one.chance)


def test_one_scene_has_no_pairs():
    groups = np.array([0, 0, 1])
    found = score_groups(groups, np.array([2, 3, 3]), np.zeros(3, int), np.array([10, 30, 5]))
    assert found.purity == pytest.approx(35 / 45)
    assert np.isnan([found.pair_precision, found.completeness, found.chance]).all()


def test_nothing_to_count():
    found = score_groups(np.array([-1, 0]), np.array([0, -1]), np.array([0, 1]))
    assert np.isnan([found.purity, found.pair_precision, found.completeness, found.chance]).all()
