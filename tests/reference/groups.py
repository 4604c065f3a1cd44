"""Scores of groupings, set by set and pair by pair, from their definitions."""

import math
from itertools import combinations


def score(groups, classes, scenes, weights):
    """Return purity, pair precision, completeness and chance."""
    sets = [s for s in zip(groups, classes, scenes, weights, strict=True) if min(s[:2]) >= 0]
    right = 0
    for group, of_class, _, weight in sets:
        weigh = {}
        for other_group, other_class, _, other_weight in sets:
            if other_group == group:
                weigh[other_class] = weigh.get(other_class, 0) + other_weight
        # Of classes that weigh the same, one is the majority.
        majority = min(c for c in weigh if math.isclose(weigh[c], max(weigh.values())))
        right += weight * (of_class == majority)
    one_group = one_class = both = pairs = 0
    for a, b in combinations(sets, 2):
        if a[2] != b[2]:
            weight = a[3] * b[3]
            pairs += weight
            one_group += weight * (a[0] == b[0])
            one_class += weight * (a[1] == b[1])
            both += weight * (a[0] == b[0] and a[1] == b[1])
    total = sum(weight for *_, weight in sets)
    return right / total, both / one_group, both / one_class, one_class / pairs
