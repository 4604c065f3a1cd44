"""The page of a table: what it says, with charts and pictures."""

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geoset.errors import GeosetError
from geoset.files import atomic_write, digest
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES
from geoset.reports import page
from geoset.reports.charts import training_curves
from geoset.reports.figures import save_picture
from geoset.tasks.reproduce.charts import charts
from geoset.tasks.reproduce.data import Sources
from geoset.tasks.reproduce.jobs import Score
from geoset.tasks.reproduce.pictures import (
    draw_correspondences,
    draw_features,
    draw_predictions,
    draw_sets,
    first_scored,
    frozen_features,
)
from geoset.tasks.reproduce.sections import Block, Literal, Points, Rows, sections
from geoset.tasks.reproduce.words import question, title_of
from geoset.training.log import read_log

NO_PICTURES = "Without pictures"
Html = list[tuple[str, list[str]]]


def write_page(
    name: str,
    results: Mapping[str, Any],
    out: Path,
    settings: ReproduceSettings,
    open_sources: Callable[[], Sources],
) -> Path:
    """Write `table-NAME.html`, and its drawings beside it; return its path.

    Nothing is done if the page was made of the results that `table-NAME.json` holds.

    results: those of `collect`, as `write_results` has written them
    open_sources: gives the labelled images; called only if pictures are to be made. If it raises
        GeosetError, the page says why it has none.
    """
    path, table = out / f"table-{name}.html", TABLES[name]
    source = f"{digest(out / f'table-{name}.json')['sha256']}  table-{name}.json"
    if path.is_file():
        written = path.read_text()
        if source in written and NO_PICTURES not in written:
            return path
    jobs = {row: first_scored(row, table.columns, out, settings) for row in table.rows}
    logs = {title_of(row): _log(job, out) for row, job in jobs.items() if job}
    drawn: dict[str, list[str]] = {}
    for kind, chart in charts(results).items():
        atomic_write(out / f"table-{name}-{kind}.svg", chart.svg)
        drawn.setdefault(chart.heading, []).append(page.chart(chart.svg, chart.caption))
    *parts, (last, provenance) = sections(results)
    shown: Html = [
        (heading, [*map(_block, blocks), *drawn.get(heading, ())]) for heading, blocks in parts
    ]
    shown += _pictures(name, out, settings, open_sources)
    shown.append(("Training", _curves(logs)))
    shown.append((last, [*map(_block, provenance), page.code(source)]))
    atomic_write(path, page.page(results["title"], question(results), shown))
    return path


def _block(block: Block) -> str:
    if isinstance(block, Points):
        return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Literal):
        return page.code(block.text)
    if isinstance(block, Rows):
        table = page.table(block.headings, block.rows)
        return page.folded(block.folded, [table]) if block.folded else table
    return page.text(block)


def _log(job: Score, out: Path) -> list[dict]:
    return read_log(job.encoder.folder(out)) if job.encoder.trainings else []


def _curves(logs: Mapping[str, list[dict]]) -> list[str]:
    caption = "The first seed; dotted lines begin stages."
    charts = [
        page.folded(title, [page.chart(training_curves(log), caption)])
        for title, log in logs.items()
        if log
    ]
    return charts or [page.text("Nothing here was pre-trained.")]


def _pictures(
    name: str, out: Path, settings: ReproduceSettings, open_sources: Callable[[], Sources]
) -> Html:
    """Draw the pictures, each a file beside the page, too."""
    table, shown = TABLES[name], []
    try:
        sources = open_sources()
        networks = frozen_features(table, out, sources, settings)
        drawn = {
            "sets": draw_sets(sources),
            "predictions": draw_predictions(table, out, sources, settings),
            "correspondences": networks and draw_correspondences(networks, sources),
            "features": networks and draw_features(networks, table, sources),
        }
    except GeosetError as error:
        return [("Pictures", [page.text(f"{NO_PICTURES}: {error}")])]
    for kind, (heading, caption) in CAPTIONS.items():
        if drawn[kind]:
            save_picture(drawn[kind], out / f"table-{name}-{kind}.png")
            shown.append((heading, [page.picture(drawn[kind], caption)]))
    return shown


CAPTIONS = {
    "sets": (
        "What is trained on",
        "A scene as it is prepared: colour; geometric sets, each in a colour of its own; depth; "
        "where pixels see the surface (green) or disagree with it (red). Last, two views of a "
        "pair, and the sets that both see.",
    ),
    "predictions": (
        "What fine-tuned networks predict",
        "Validation images, evenly spaced and not chosen; ground truth; the first seed of each "
        "method with the most labels of this table (Fig. 4).",
    ),
    "correspondences": (
        "What matches what, before fine-tuning",
        "Points of one view, and where each network finds the most similar feature in another: a "
        "dot there, a ring at the true place, a line between them; in brackets the median distance "
        "of all matches of the pair, in pixels. Sets ask for one feature all over a set, not for "
        "places in it. Scenes of pre-training, evenly spaced, of each a pair drawn at random.",
    ),
    "features": (
        "Features before fine-tuning",
        "First three principal components, one basis a network: what has the same colour is alike "
        "to it. From scratch is the network before training.",
    ),
}
