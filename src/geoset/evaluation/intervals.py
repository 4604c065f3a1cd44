"""What a few seeds say: means, and intervals that the truth lies in 95 times of 100."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
DRAWS = 1000


def mean_and_margin(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and the half width of its 95 % interval by Student's t; NaN for one value.

    Of paired differences, the interval is that of the paired t-test.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(values.mean()), float(quantile * values.std(ddof=1) / np.sqrt(len(values)))


def bootstrap(
    counts: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic of scenes that are drawn anew (percentiles).

    counts: (S, ...), one array a scene; statistic: of their sum over scenes
    """
    rng, scenes = np.random.default_rng(seed), len(counts)
    flat = counts.reshape(scenes, -1).astype(float)
    drawn = rng.multinomial(scenes, np.full(scenes, 1 / scenes), DRAWS)
    values = [statistic((times @ flat).reshape(counts.shape[1:])) for times in drawn]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
