"""Intervals, against scipy's own tests and against what is known of the mean."""

import math

import numpy as np
import pytest
from scipy import stats

from geoset.evaluation.intervals import bootstrap, mean_and_margin


def test_the_interval_is_students():
    values = [14.2, 15.1, 13.3, 16.0, 14.9]
    mean, margin = mean_and_margin(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - margin, mean + margin) == pytest.approx((low, high))


def test_a_difference_is_significant_where_the_paired_test_says_so():
    ours, theirs = np.array([14.2, 15.1, 13.3, 16.0]), np.array([12.9, 14.6, 12.6, 14.1])
    mean, margin = mean_and_margin(ours - theirs)
    assert (abs(mean) > margin) == (stats.ttest_rel(ours, theirs).pvalue < 0.05)
    assert abs(mean) > margin


def test_one_value_has_no_interval():
    mean, margin = mean_and_margin([3.0])
    assert mean == 3.0
    assert math.isnan(margin)


def test_drawing_scenes_anew_gives_the_interval_of_the_mean():
    counts = np.random.default_rng(1).normal(5, 2, (60, 1))
    low, high = bootstrap(counts, lambda total: float(total[0]) / 60)
    error = counts.std() / math.sqrt(60)
    assert low == pytest.approx(counts.mean() - 1.96 * error, abs=0.05)
    assert high == pytest.approx(counts.mean() + 1.96 * error, abs=0.05)


def test_scenes_that_are_alike_leave_nothing_open():
    counts = np.tile([[3.0, 1.0]], (10, 1))
    assert bootstrap(counts, lambda total: total[0] / total.sum()) == (0.75, 0.75)
