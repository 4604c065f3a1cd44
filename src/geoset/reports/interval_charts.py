"""Charts of scores with their intervals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from geoset.reports.charts import as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = Mapping[str, float | None]
"""Has "mean" and "margin", the half width of its interval; None = not run, not known.

May have "published", a figure to compare with."""

MARKERS = "osD^vP*Xph"
ACCENT, FAINT = "#2f6fde", "#7a8496"


def score_lines(
    shares: Sequence[float], lines: Mapping[str, Sequence[Cell]], score: str = "mIoU, %"
) -> str:
    """Draw scores against the share of labels, a line a method (Fig. 3); return an SVG element.

    Dashed in the same colour: what was published.

    shares: of the labels, 1 = all; lines: for each share a cell, those that were not run left out
    """
    figure = _figure(6.4, 4.2)
    axes = figure.subplots()
    step = min(0.9, 8 / max(1, len(lines)))  # in %: beside each other, intervals can be seen
    for k, (name, cells) in enumerate(lines.items()):
        shown = [
            (share, c) for share, c in zip(shares, cells, strict=True) if c["mean"] is not None
        ]
        if shown:
            axes.errorbar(
                [100 * share + step * (k - (len(lines) - 1) / 2) for share, _ in shown],
                [cell["mean"] for _, cell in shown],
                _half_widths([cell for _, cell in shown]),
                label=name,
                color=f"C{k}",
                marker=MARKERS[k % len(MARKERS)],
                markersize=5,
                lw=1.6,
                capsize=3,
            )
        published = [
            (share, c["published"])
            for share, c in zip(shares, cells, strict=True)
            if c.get("published")
        ]
        if published:
            axes.plot(
                [100 * share for share, _ in published],
                [score for _, score in published],
                label=f"{name}, published",
                color=f"C{k}",
                ls="--",
                lw=1.2,
            )
    axes.set_xticks([100 * share for share in shares])
    axes.set_xlabel("labelled images, %")
    axes.set_ylabel(score)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return as_svg(figure)


def difference_dots(panels: Mapping[str, Mapping[str, Cell]]) -> str:
    """Draw differences and their intervals beside 0, a panel a score; return an SVG element.

    panels: by score and method, cells that have "significant", too: dots of those are filled
    """
    names = list(next(iter(panels.values())))
    figure = _figure(2.6 + 2.4 * len(panels), 1.1 + 0.32 * len(names))
    for axes, (title, cells) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        axes.axvline(0, color="0.6", lw=1)
        for row, name in enumerate(names):
            cell = cells[name]
            if cell["mean"] is None:
                continue
            color = ACCENT if cell["significant"] else FAINT
            axes.errorbar(
                cell["mean"],
                row,
                xerr=_half_widths([cell]),
                color=color,
                marker="o",
                markerfacecolor=color if cell["significant"] else "white",
                capsize=3,
            )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("difference, points", fontsize=9)
        axes.grid(axis="x", color="0.92")
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
    return as_svg(figure)


def _half_widths(cells: Sequence[Cell]) -> list[float] | None:
    """Return what to draw on either side; None where no cell has an interval."""
    margins = [cell["margin"] for cell in cells]
    if all(margin is None for margin in margins):
        return None
    return [float("nan") if margin is None else margin for margin in margins]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
