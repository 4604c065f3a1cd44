"""What tables say of classes: those that geometry shows, and those that lie flush with a wall."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoset.evaluation.intervals import bootstrap
from geoset.scans.rooms import FLUSH_CLASSES
from geoset.tasks.reproduce.jobs import CONFUSIONS

PAINTING = "painting"  # what NYUv2 calls a picture


def class_scores(
    folders: Mapping[str, Mapping[int, Path]], baseline: str, *, absent_as_zero: bool = False
) -> dict[str, Any]:
    """Return the IoU in % of classes and of kinds of classes, for each method that was scored.

    folders: by method and seed, those with `confusions.npz`; baseline: the method that others are
        compared with on the same seeds
    Returns by method: "classes", for each name the IoU by seed; "shown" and "flush", the means over
    classes that geometry shows and over FLUSH_CLASSES, by seed; "scenes", the 95 % interval of mIoU
    over validation scenes drawn anew, the mean over seeds held fixed; "better_scenes", that of the
    difference from the baseline. What there is none of is null.
    """
    counts, scenes, names = {}, set(), ()
    for method, by_seed in folders.items():
        counts[method] = {}
        for seed, folder in by_seed.items():
            with np.load(folder / CONFUSIONS, allow_pickle=False) as stored:
                counts[method][seed] = stored["confusions"]
                scenes.add(tuple(stored["scenes"]))
                names = tuple(str(name) for name in stored["classes"])
    absent = 0.0 if absent_as_zero else np.nan
    found = {}
    for method, by_seed in counts.items():
        if by_seed:
            found[method] = _by_class(by_seed, names, absent)
            found[method] |= {"scenes": None, "better_scenes": None}
            # Or else runs were scored on different scenes, or which images share one is not known.
            if len(scenes) == 1 and len(next(iter(scenes))) > 1:
                found[method]["scenes"] = _interval(_stack(by_seed, by_seed), absent)
                both = sorted(by_seed.keys() & counts.get(baseline, {}).keys())
                if both and method != baseline:
                    pair = np.stack([_stack(counts[m], both) for m in (method, baseline)], axis=1)
                    found[method]["better_scenes"] = _interval(pair, absent)
    return found


def class_ious(confusions: np.ndarray, absent: float = np.nan) -> np.ndarray:
    """Return IoU (...,C) of confusion matrices (...,C,C), rows the truth; `absent` for 0 / 0."""
    hit = np.diagonal(confusions, axis1=-2, axis2=-1)
    union = confusions.sum(-1) + confusions.sum(-2) - hit
    return np.where(union > 0, hit / np.maximum(union, 1), absent)


def _by_class(
    by_seed: Mapping[int, np.ndarray], names: tuple[str, ...], absent: float
) -> dict[str, Any]:
    ious = 100 * class_ious(np.stack([c.sum(axis=0) for c in by_seed.values()]), absent)
    flush = np.isin(names, (*FLUSH_CLASSES, PAINTING))
    kinds = {"shown": ious[:, ~flush], "flush": ious[:, flush]}
    return {
        "classes": {name: _numbers(ious[:, k]) for k, name in enumerate(names)},
        **{kind: _numbers([_mean(row) for row in rows]) for kind, rows in kinds.items()},
    }


def _stack(by_seed: Mapping[int, np.ndarray], seeds) -> np.ndarray:
    """Return (S,n,C,C), by scenes first, as they are drawn."""
    return np.stack([by_seed[seed] for seed in seeds], axis=1)


def _interval(counts: np.ndarray, absent: float) -> list[float]:
    """Return the interval of mIoU over counts (S,n,C,C), or of a difference, (S,2,n,C,C)."""

    def statistic(total: np.ndarray) -> float:
        ious = class_ious(total, absent)
        present = ~np.isnan(ious)
        means = np.where(present, ious, 0).sum(-1) / np.maximum(present.sum(-1), 1)
        by_method = means.mean(-1)
        return float(by_method if by_method.ndim == 0 else by_method[0] - by_method[1])

    return [round(100 * end, 3) for end in bootstrap(counts, statistic)]


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def _numbers(values) -> list[float]:
    """Leave out what is not there: JSON has no NaN."""
    return [round(float(value), 3) for value in values if value == value]
