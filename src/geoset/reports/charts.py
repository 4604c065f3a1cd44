"""Curves of a run, as SVG."""

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

SMOOTHING = 0.04  # of the length of a curve, that each point is averaged over


def training_curves(
    rows: Sequence[Mapping[str, float]], panels: Mapping[str, Sequence[str]]
) -> str:
    """Draw one panel for each entry of `panels`: its title, and the logged terms that it shows.

    rows: of log.jsonl, one a step; a term that a row lacks leaves a gap.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 2.8), layout="constrained")
    steps = np.array([row["step"] for row in rows])
    width = max(1, round(SMOOTHING * len(rows)))
    for axes, (title, names) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name in names:
            values = np.array([row.get(name) for row in rows], dtype=float)
            present = np.isfinite(values)
            if present.any():
                axes.plot(steps[present], _smooth(values[present], width), label=name, lw=1.6)
        for step in _stage_starts(rows):
            axes.axvline(step, color="0.7", lw=1, ls=":")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream)
    drawing = stream.getvalue()
    return drawing[drawing.index("<svg") :]


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the last `width` values, fewer at the start."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    return (total[last] - total[first]) / (last - first)


def _stage_starts(rows: Sequence[Mapping[str, float]]) -> list[float]:
    return [
        after["step"] - 0.5
        for before, after in itertools.pairwise(rows)
        if before["stage"] != after["stage"]
    ]
