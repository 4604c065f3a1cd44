"""The page of a table: figures with their intervals, what they mean, and how they came about."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write, digest
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES
from geoset.reports import page
from geoset.reports.charts import training_curves
from geoset.reports.interval_charts import difference_dots, score_lines
from geoset.tasks.reproduce_data import Sources
from geoset.tasks.reproduce_jobs import Score
from geoset.tasks.reproduce_pictures import draw_features, draw_predictions, first_scored
from geoset.tasks.reproduce_results import cell_text, summary
from geoset.tasks.reproduce_words import (
    CHANCE_NOTE,
    CLASS_NOTE,
    COMPUTE_NOTE,
    compared_at,
    difference_in_words,
    lead,
    not_run,
)
from geoset.training.log import read_log

NO_PICTURES = "Without pictures"
CLASS_HEADINGS = (
    "classes geometry shows",
    "flush classes",
    "mIoU, other scenes",
    "difference, other scenes",
)
Sections = list[tuple[str, list[str]]]


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
    jobs = {row: job for row, job in jobs.items() if job}
    logs = {row: _log(job, out) for row, job in jobs.items()}
    sections: Sections = [
        ("Scores", _scores(results)),
        (f"Differences from '{_title(results['baseline'])}'", _differences(results, out)),
        *_label_shares(results, out),
        *_classes(results),
        ("Steps and time", _cost(results, logs)),
        *_pictures(name, out, settings, open_sources),
        ("Training", _curves(logs)),
        ("How it was made", [page.code(_provenance(results, jobs, out)), page.code(source)]),
    ]
    atomic_write(path, page.page(results["title"], lead(results), sections))
    return path


def _title(row: str) -> str:
    return METHODS[row].title


def _log(job: Score, out: Path) -> list[dict]:
    return read_log(job.encoder.folder(out)) if job.encoder.trainings else []


def _scores(results: Mapping[str, Any]) -> list[str]:
    published = any(cell.get("published") for cells in results["rows"].values() for cell in cells)
    how = "In %: mean ± half the 95 % interval over seeds (number of seeds)"
    rows = [[_title(row), *map(cell_text, cells)] for row, cells in results["rows"].items()]
    missing = not_run(results)
    return [
        page.table(["method", *results["columns"]], rows),
        page.text(how + (" [what was published]." if published else ".")),
        page.text("Not run: " + "; ".join(missing) + "." if missing else "Every cell was run."),
    ]


def _differences(results: Mapping[str, Any], out: Path) -> list[str]:
    others = {row: cells for row, cells in results["rows"].items() if row != results["baseline"]}
    rows = [[_title(row), *map(difference_in_words, cells)] for row, cells in others.items()]
    panels = {
        column: {_title(row): cells[k]["better"] for row, cells in others.items()}
        for k, column in enumerate(results["columns"])
        if any(cells[k]["better"]["n"] for cells in others.values())
    }
    caption = "Differences in points and their 95 % intervals; filled: the interval leaves out 0."
    drawn = []
    if panels:
        drawn.append(_chart(results, out, "differences", difference_dots(panels), caption))
    return [
        *drawn,
        page.table(["method", *results["columns"]], rows),
        page.text(CHANCE_NOTE),
    ]


def _label_shares(results: Mapping[str, Any], out: Path) -> Sections:
    """Return Figure 3, if columns differ in their share of the labels."""
    tasks = [column.task for column in TABLES[results["table"]].columns]
    places = [k for k, task in enumerate(tasks) if task.kind == "segmentation"]
    shares = [tasks[k].share for k in places]
    if len(set(shares)) < len(shares) or len(shares) < 2:
        return []
    lines = {_title(row): [cells[k] for k in places] for row, cells in results["rows"].items()}
    caption = "mIoU against the share of labelled images, with 95 % intervals over seeds (Fig. 3)."
    drawn = _chart(results, out, "labels", score_lines(shares, lines), caption)
    return [("With fewer labels", [drawn])]


def _chart(results: Mapping[str, Any], out: Path, kind: str, svg: str, caption: str) -> str:
    """Return a chart, which is a file beside the page, too."""
    atomic_write(out / f"table-{results['table']}-{kind}.svg", svg)
    return page.chart(svg, caption)


def _classes(results: Mapping[str, Any]) -> Sections:
    """Return kinds of classes, and, folded, every class, for each column that has them."""
    blocks = []
    for column, found in zip(results["columns"], results["classes"], strict=True):
        if not found:
            continue
        rows = [
            [
                _title(row),
                *(_plain(scores[kind]) for kind in ("shown", "flush")),
                _range(scores["scenes"]),
                _range(scores["better_scenes"], "+"),
            ]
            for row, scores in found.items()
        ]
        names = next(iter(found.values()))["classes"]
        by_name = [[name, *(_plain(f["classes"][name]) for f in found.values())] for name in names]
        blocks += [
            page.table([column, *CLASS_HEADINGS], rows),
            page.folded(
                f"{column}: each class", [page.table(["class", *map(_title, found)], by_name)]
            ),
        ]
    return [("Classes", [page.text(CLASS_NOTE), *blocks])] if blocks else []


def _plain(values: list[float]) -> str:
    cell = summary(values)
    if not cell["n"]:
        return "–"
    return f"{cell['mean']:.1f}" + ("" if cell["margin"] is None else f" ± {cell['margin']:.1f}")


def _range(ends: list[float] | None, sign: str = "") -> str:
    return "–" if ends is None else f"{ends[0]:{sign}.1f} to {ends[1]:{sign}.1f}"


def _cost(results: Mapping[str, Any], logs: Mapping[str, list[dict]]) -> list[str]:
    baseline = results["baseline"]
    theirs = len(logs.get(baseline, ())), results["seconds"][baseline]
    rows = []
    for row, log in logs.items():
        seconds = results["seconds"][row]
        ratio = f"{seconds / theirs[1]:.2f}" if seconds and theirs[1] else ""
        shown = f"{seconds:.0f}" if seconds else ""
        rows.append([_title(row), str(len(log)), shown, ratio])
        rows[-1].append("" if row == baseline else compared_at((len(log), seconds), theirs))
    headings = ["method", "steps", "training, s", "of the baseline's", "compared with it at"]
    return [page.table(headings, rows), page.text(COMPUTE_NOTE)]


def _curves(logs: Mapping[str, list[dict]]) -> list[str]:
    caption = "Loss terms over chance, and similarity of matches and of others; stages are divided."
    drawn = [
        page.folded(_title(row), [page.chart(training_curves(log), caption)])
        for row, log in logs.items()
        if log
    ]
    return [page.text("Pre-training of the first seed of each method."), *drawn]


def _pictures(
    name: str, out: Path, settings: ReproduceSettings, open_sources: Callable[[], Sources]
) -> Sections:
    """Draw the pictures, each a file beside the page, too."""
    table, sections = TABLES[name], []
    try:
        sources = open_sources()
        drawn = {
            "predictions": draw_predictions(table, out, sources, settings),
            "features": draw_features(table, out, sources, settings),
        }
    except GeosetError as error:
        return [("Pictures", [page.text(f"{NO_PICTURES}: {error}")])]
    for kind, (heading, caption) in CAPTIONS.items():
        if drawn[kind]:
            with atomic_path(out / f"table-{name}-{kind}.png") as temporary:
                drawn[kind].save(temporary, format="PNG")
            sections.append((heading, [page.picture(drawn[kind], caption)]))
    return sections


CAPTIONS = {
    "predictions": (
        "What fine-tuned networks predict",
        "Validation images, evenly spaced and not chosen; ground truth; the first seed of each "
        "method with the most labels of this table (Fig. 4).",
    ),
    "features": (
        "Features before fine-tuning",
        "First three principal components, one basis a network: what has the same colour is alike "
        "to it. From scratch is the network before training.",
    ),
}


def _provenance(results: Mapping[str, Any], jobs: Mapping[str, Score], out: Path) -> str:
    """Return settings, and on what the runs were made, as their `run.json` tell."""
    machines = set()
    for job in jobs.values():
        for folder in (job.encoder.folder(out), job.folder(out)):
            if (folder / "run.json").is_file():
                run = json.loads((folder / "run.json").read_text())
                machines.add(json.dumps({**run["versions"], **run["hardware"]}))
    settings = json.dumps(results["settings"], indent=1)
    return "\n".join([f"geoset reproduce {results['table']}", settings, *sorted(machines)])
