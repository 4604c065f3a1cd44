"""Add layers to prepared scenes, none at the cost of the others."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from geoset.errors import GeosetError
from geoset.prepare.data_set import find_scenes, refresh_indexes
from geoset.prepare.layers import LayerReport, make_layers
from geoset.prepare.scene import PreparedScene
from geoset.prepare.storage import open_folder
from geoset.recipes import LayerSettings
from geoset.tasks.each_scene import each_scene


@dataclass(frozen=True)
class LayersSummary:
    """What became of each layer of each scene."""

    reports: list[LayerReport]

    @property
    def failed(self) -> list[LayerReport]:
        """Scenes that a layer could not be added to."""
        return [report for report in self.reports if report.status == "failed"]


def add_layers(
    prepared: list[str | Path],
    settings: LayerSettings,
    workers: int = 1,
    console: Console | None = None,
) -> LayersSummary:
    """Add layers to the prepared scenes in the folders given; nothing is rendered again.

    Layers that are there are skipped; a scene that fails is reported and the others go on.

    Raises:
        GeosetError: there is no prepared scene, or every one of them failed.
    """
    console = console or Console(stderr=True)
    attempt = partial(_attempt, settings=settings)
    of_scenes = each_scene(attempt, find_scenes(prepared), "layers", workers, console)
    reports = [report for of_scene in of_scenes for report in of_scene]
    summary = LayersSummary(reports)
    refresh_indexes(prepared)
    if len(reports) == len(summary.failed) == 1:
        raise GeosetError(reports[0].error)
    console.print(_table([report for report in reports if report.status != "failed"]))
    for line in _notes(reports):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(summary.failed) == len(reports):
        raise GeosetError("no layer could be added to any scene; the reasons stand above")
    return summary


def _attempt(path: str | Path, settings: LayerSettings) -> list[LayerReport]:
    try:
        return make_layers(PreparedScene(path), settings)
    except GeosetError as error:
        return [LayerReport(open_folder(path).name, "", "failed", error=str(error))]


def _table(reports: list[LayerReport]) -> Table:
    table = Table(
        title="layers",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("layer", overflow="fold")
    for heading in ("made", "finished before", "sets a scene", "labelled", "support", "tied"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(report.layer for report in reports):
        of_layer = [report for report in reports if report.layer == name]
        statuses = Counter(report.status for report in of_layer)
        table.add_row(
            name,
            str(statuses["made"]),
            str(statuses["finished before"]),
            f"{median(report.sets for report in of_layer):g}",
            f"{sum(report.labelled for report in of_layer) / len(of_layer):.0%}",
            *_votes([report.made_by for report in of_layer if "support" in report.made_by]),
        )
    return table


def _votes(votes: list[dict]) -> tuple[str, str]:
    """Return support and ties of vertices that were voted on, over all scenes."""
    voted = sum(vote["voted"] for vote in votes)
    if not voted:
        return "", ""
    support = sum(vote["support"] * vote["voted"] for vote in votes) / voted
    return f"{support:.1%}", f"{sum(vote['tied'] for vote in votes) / voted:.1%}"


def _notes(reports: list[LayerReport]) -> list[str]:
    lines = ["labelled: share of the vertices that are in a set"]
    if any("support" in report.made_by for report in reports):
        lines.append(
            "support: share of the pixels that agree with the label of their vertex; tied: share "
            "of the vertices with two labels of equally many (the lesser id is taken)"
        )
    skipped = sum((Counter(report.skipped) for report in reports), Counter())
    lines += [f"frames left out: {count} x {reason}" for reason, count in skipped.most_common()]
    return lines + [f"failed: {report.error}" for report in reports if report.status == "failed"]
