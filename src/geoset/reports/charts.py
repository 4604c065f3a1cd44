"""Curves of a run."""

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoset.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.04  # of the length of a curve, that each point is averaged over


PANELS = {
    "loss, 1 = chance": r".*/chance",
    "loss": r"loss",
    "similarity": r".*/(positive|negative)",
    "depth prediction": r"depth/loss",
    "parts of the loss": r"classifier|box_reg|mask|objectness|rpn_box_reg",
    "accuracy": r"accuracy",
    "effective rank of the features": r"rank",
}
"""What is drawn: titles, and the names of the logged terms that each shows."""

Rows = Sequence[Mapping[str, float]]
"""Of log.jsonl, one a step; a term that a row lacks leaves a gap."""


def draw_curves(rows: Rows, path: Path) -> None:
    """Write the curves of a run to the PNG file `path`; nothing if there is no row yet."""
    if not rows:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(rows)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def training_curves(rows: Rows) -> str:
    """Return the curves of a run as an SVG element."""
    return as_svg(_figure(rows))


def as_svg(figure: "Figure") -> str:
    """Return a figure as an SVG element: the same figure to the same letters."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": "geoset"}):  # the names of its parts
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    drawing = stream.getvalue()
    return drawing[drawing.index("<svg") :]


def _figure(rows: Rows):
    """Draw one panel for each of PANELS of which something was logged."""
    from matplotlib.figure import Figure

    terms = {name: None for row in rows for name in row}  # in order of appearance
    panels = {
        title: [name for name in terms if re.fullmatch(names, name)]
        for title, names in PANELS.items()
    }
    if panels["loss, 1 = chance"]:
        del panels["loss"]  # a sum of terms, each of its own scale
    panels = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(4.2 * max(1, len(panels)), 2.8), layout="constrained")
    steps = np.array([row["step"] for row in rows])
    width = max(1, round(SMOOTHING * len(rows)))
    for axes, (title, names) in zip(
        figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels.items(), strict=False
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
    return figure


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the last `width` values, fewer at the start."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    return (total[last] - total[first]) / (last - first)


def _stage_starts(rows: Rows) -> list[float]:
    return [
        after["step"] - 0.5
        for before, after in itertools.pairwise(rows)
        if before["stage"] != after["stage"]
    ]
