"""Pairs of frames that overlap, one pair after the other, with sets of cells."""

import math


def cell_of(vertex, edge=0.05):
    return tuple(math.floor(coordinate / edge) for coordinate in vertex)


def mine_pairs_slowly(cells_of_frame, min_overlap):
    """Return [(first, second, overlap)]: the larger of the two directed ratios of shared cells."""
    found = []
    for first in range(len(cells_of_frame)):
        for second in range(first + 1, len(cells_of_frame)):
            a, b = set(cells_of_frame[first]), set(cells_of_frame[second])
            shared = len(a & b)
            if not shared:
                continue
            overlap = max(shared / len(a), shared / len(b))
            if overlap >= min_overlap:
                found.append((first, second, overlap))
    return found
