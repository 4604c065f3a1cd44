"""Majority votes: of pixels on the label of a vertex, of vertices on the class of a set."""

from dataclasses import dataclass

import numpy as np

LABEL_BITS = 32


@dataclass(frozen=True)
class Majority:
    """What N items were given by their votes.

    labels: (N,) int32, the label with most votes, the least of those that tie, -1 without votes
    voted: items with a vote; tied: those whose first and second label have equally many
    support: share of all votes that are for the label chosen, NaN without any
    """

    labels: np.ndarray
    voted: int
    tied: int
    support: float


class Votes:
    """Counts of (item, label), gathered piece by piece; memory goes with distinct pairs."""

    def __init__(self, items: int) -> None:
        self.items = items
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, items: np.ndarray, labels: np.ndarray) -> None:
        """Count one vote each: items (M,) in 0..N-1, labels (M,) in 0..2**31-1."""
        keys, counts = np.unique(
            (items.astype(np.int64) << LABEL_BITS) | labels.astype(np.int64), return_counts=True
        )
        self._keys, index = np.unique(np.concatenate([self._keys, keys]), return_inverse=True)
        merged = np.zeros(len(self._keys), np.int64)
        np.add.at(merged, index, np.concatenate([self._counts, counts]))
        self._counts = merged

    def majority(self) -> Majority:
        """Count out."""
        items, labels = self._keys >> LABEL_BITS, self._keys & ((1 << LABEL_BITS) - 1)
        order = np.lexsort((labels, -self._counts, items))
        items, labels, counts = items[order], labels[order], self._counts[order]
        first = np.flatnonzero(np.diff(items, prepend=-1))
        winners = np.full(self.items, -1, np.int32)
        winners[items[first]] = labels[first]
        ties = (items[1:] == items[:-1]) & (counts[1:] == counts[:-1])
        tied = ties[first[first < len(ties)]].sum()
        total = counts.sum()
        support = counts[first].sum() / total if total else np.nan
        return Majority(winners, len(first), int(tied), float(support))


def majority_of_sets(labels: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Return (count,) int32: of each set, the label in `others` of most of its vertices, or -1.

    labels, others: (V,), -1 = none, which has no vote
    """
    both = (labels >= 0) & (others >= 0)
    votes = Votes(count)
    votes.add(labels[both], others[both])
    return votes.majority().labels
