"""How well a grouping of sets agrees with classes that it never saw."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GroupScore:
    """Shares, 0 to 1, over sets that have both a group and a class; NaN where nothing counts.

    With weights w (pixels, say) a set counts w times and a pair of sets product-of-w times. Pairs
    are of sets of *different scenes*, for those are what a grouping adds to a layer.

    purity: sets whose class is the one that weighs most in their group
    pair_precision: of pairs in one group, those of one class
    completeness: of pairs of one class, those in one group (the recall of pairs); it falls with
        the number of groups, and is 1 for a single group
    chance: of all pairs, those of one class: the pair precision of groups that mean nothing
    """

    purity: float
    pair_precision: float
    completeness: float
    chance: float


def score_groups(
    groups: np.ndarray, classes: np.ndarray, scenes: np.ndarray, weights: np.ndarray | None = None
) -> GroupScore:
    """Compare a grouping with classes.

    groups, classes: (N,) integers, -1 = none; scenes: (N,) integers; weights: (N,), default ones
    """
    counted = (groups >= 0) & (classes >= 0)
    groups, classes, scenes = groups[counted], classes[counted], scenes[counted]
    weights = np.ones(len(groups)) if weights is None else weights[counted].astype(np.float64)
    everything = np.zeros_like(groups)
    group_of_cell, cells = _sums(weights, groups, classes)
    pure = np.zeros(group_of_cell.max(initial=-1) + 1)
    np.maximum.at(pure, group_of_cell, cells)
    alike = _pairs(weights, scenes, groups, classes)
    of_one_class = _pairs(weights, scenes, classes)
    return GroupScore(
        purity=_share(pure.sum(), weights.sum()),
        pair_precision=_share(alike, _pairs(weights, scenes, groups)),
        completeness=_share(alike, of_one_class),
        chance=_share(of_one_class, _pairs(weights, scenes, everything)),
    )


def _sums(weights: np.ndarray, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add weights up by combinations of keys; return the first key of each, and the sums."""
    distinct, index = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
    return distinct[:, 0], np.bincount(index.reshape(-1), weights, len(distinct))


def _pairs(weights: np.ndarray, scenes: np.ndarray, *keys: np.ndarray) -> float:
    """Weigh the pairs that agree in all keys but differ in scene: all, less those inside one."""
    _, together = _sums(weights, *keys)
    _, inside = _sums(weights, *keys, scenes)
    return (np.square(together).sum() - np.square(inside).sum()) / 2


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
