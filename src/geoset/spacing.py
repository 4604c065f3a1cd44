"""Choosing a few of many."""

import numpy as np


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return `count` of 0..total-1, evenly spaced, first and last among them; all if fewer."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
