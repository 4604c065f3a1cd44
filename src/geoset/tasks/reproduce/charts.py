"""The charts of a table's results: differences with their intervals, and Figure 3."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from geoset.recipes.tables import TABLES
from geoset.reports.interval_charts import difference_dots, score_lines
from geoset.tasks.reproduce.words import title_of

Results = Mapping[str, Any]


class Chart(NamedTuple):
    """A drawing, the section that it belongs to, and what it shows."""

    heading: str
    svg: str
    caption: str


def charts(results: Results) -> dict[str, Chart]:
    """Return the charts that the results of a table have something for, by kind."""
    found = {"differences": _differences(results), "labels": _label_shares(results)}
    return {kind: chart for kind, chart in found.items() if chart}


def _differences(results: Results) -> Chart | None:
    others = {row: cells for row, cells in results["rows"].items() if row != results["baseline"]}
    panels = {
        column: {title_of(row): cells[k]["better"] for row, cells in others.items()}
        for k, column in enumerate(results["columns"])
        if any(cells[k]["better"]["n"] for cells in others.values())
    }
    if not panels:
        return None
    caption = (
        f"Differences from '{title_of(results['baseline'])}' in points, and their 95 % intervals, "
        "where there are several seeds; filled: the interval leaves out 0."
    )
    return Chart("What came out", difference_dots(panels), caption)


def _label_shares(results: Results) -> Chart | None:
    """Return Figure 3, if columns differ in their share of the labels."""
    tasks = [column.task for column in TABLES[results["table"]].columns]
    places = [k for k, task in enumerate(tasks) if task.kind == "segmentation"]
    shares = [tasks[k].share for k in places]
    if len(set(shares)) < len(shares) or len(shares) < 2:
        return None
    lines = {title_of(row): [cells[k] for k in places] for row, cells in results["rows"].items()}
    caption = "mIoU against the share of labelled images"
    if any(cell["margin"] is not None for cells in lines.values() for cell in cells):
        caption += ", with 95 % intervals over seeds"
    caption += " (Fig. 3)"
    if any(cell.get("published") for cells in lines.values() for cell in cells):
        caption += "; dashed: as published"
    return Chart("Scores", score_lines(shares, lines), f"{caption}.")
