"""Majority votes, counted one by one."""

from collections import Counter

import numpy as np
import pytest

from geoset.prepare.votes import Votes, majority_of_sets


def test_by_hand():
    votes = Votes(5)
    votes.add(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 3, 9, 4]))  # 0: 7 x2, 3; 1: 9 and 4 tie
    votes.add(np.array([0, 3]), np.array([3, 0]))  # now 0 ties as well: 7 x2, 3 x2
    vote = votes.majority()
    assert vote.labels.tolist() == [3, 4, -1, 0, -1] and vote.labels.dtype == np.int32
    assert (vote.voted, vote.tied) == (3, 2)
    assert vote.support == pytest.approx((2 + 1 + 1) / 7)


def test_against_counting_one_by_one():
    rng = np.random.default_rng(0)
    votes, boxes = Votes(30), [Counter() for _ in range(30)]
    for _ in range(4):
        items, labels = rng.integers(0, 28, 60), rng.integers(0, 4, 60) * (2**31 - 1) // 3
        votes.add(items.astype(np.int32), labels)
        for item, label in zip(items, labels, strict=True):
            boxes[item][label] += 1
    vote = votes.majority()
    most = [max(box.values(), default=0) for box in boxes]
    expected = [
        min((label for label in box if box[label] == best), default=-1)
        for box, best in zip(boxes, most, strict=True)
    ]
    assert vote.labels.tolist() == expected
    assert vote.voted == sum(best > 0 for best in most)
    assert vote.tied == sum(
        sum(n == best for n in box.values()) > 1 for box, best in zip(boxes, most, strict=True)
    )
    assert vote.support == pytest.approx(sum(most) / 240)


def test_nobody_votes():
    vote = Votes(2).majority()
    assert vote.labels.tolist() == [-1, -1] and vote.voted == vote.tied == 0
    assert np.isnan(vote.support)


def test_a_set_has_the_label_of_most_of_its_vertices():
    labels = np.array([0, 0, 0, 0, 2, 2, -1, 3])
    classes = np.array([5, 5, 6, -1, 8, 8, 9, -1])
    assert majority_of_sets(labels, classes, 4).tolist() == [5, -1, 8, -1]
