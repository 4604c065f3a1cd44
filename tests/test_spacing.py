"""Choosing a few of many."""

import itertools

import pytest

from geoset.spacing import evenly_spaced


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (9, 3, [0, 4, 8]),
        (10, 4, [0, 3, 6, 9]),
        (4, 3, [0, 2, 3]),  # 1.5 goes to the even one
        (3, 3, [0, 1, 2]),
        (2, 5, [0, 1]),
        (5, 1, [0]),
        (0, 4, []),
    ],
)
def test_by_hand(total, count, expected):
    assert evenly_spaced(total, count) == expected


def test_none_comes_twice_and_gaps_differ_by_one_at_most():
    for total, count in itertools.product(range(1, 60), range(2, 60)):
        found = evenly_spaced(total, count)
        assert len(set(found)) == len(found) == min(total, count)
        gaps = [b - a for a, b in itertools.pairwise(found)]
        assert not gaps or max(gaps) - min(gaps) <= 1
