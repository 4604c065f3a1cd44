"""What the runs of a table have scored, and what they took: as JSON, and as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

import geoset
from geoset.files import atomic_write
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table
from geoset.tasks.reproduce.cells import scored, summary, trained
from geoset.tasks.reproduce.classes import class_scores
from geoset.tasks.reproduce.cost import costs
from geoset.tasks.reproduce.jobs import CONFUSIONS, SCORE
from geoset.tasks.reproduce.sections import as_markdown, sections
from geoset.tasks.reproduce.shared_settings import kept_settings


def collect(name: str, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return all that a table says, as JSON holds it; what was not run is null."""
    table = TABLES[name]
    cells = {
        row: [_cell(row, column, out, settings) for column in table.columns] for row in table.rows
    }
    for row, figures in table.published.items():
        for cell, figure in zip(cells[row], figures, strict=True):
            cell["published"] = figure
    return {
        "table": name,
        "title": table.title,
        "geoset": geoset.__version__,
        "settings": asdict(settings),
        "columns": [column.title for column in table.columns],
        "metrics": [column.metric for column in table.columns],
        "baseline": table.baseline,
        **compared(table, cells),
        "classes": [_classes(table, column, out, settings) for column in table.columns],
        "cost": costs(table, out, settings),
        "made": _made(table, out, settings),
    }


def compared(
    table: Table, cells: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """Return what the cells of a table, by row and column, amount to.

    "rows": the cells, with mean and margin of their "seeds", and how much "better" than the
    baseline they are, seed by seed; "also": the same of the rows of the second comparison.
    """
    rows = {
        row: [{**cell, **summary(list(cell["seeds"].values()))} for cell in of_row]
        for row, of_row in cells.items()
    }
    for row in rows.keys() - {table.baseline}:
        for cell, found in zip(rows[row], _differences(cells, row, table.baseline), strict=True):
            cell["better"] = found
    second = table.second_baseline
    also = {row: _differences(cells, row, second) for row in table.second_rows}
    return {"rows": rows, "also": {"baseline": second, "rows": also}}


def _cell(row: str, column: Column, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return a cell: the figure of each seed that was run."""
    seeds = {
        str(seed): round(_read(job.folder(out) / SCORE)["scores"][column.metric], 3)
        for seed, job in scored(row, column.task, out, settings).items()
    }
    return {"seeds": seeds}


def _differences(
    cells: Mapping[str, Sequence[Mapping[str, Any]]], row: str, baseline: str
) -> list[dict[str, Any]]:
    """Compare a row with another seed by seed, column by column."""
    found = []
    for ours, theirs in zip(cells[row], cells[baseline], strict=True):
        both = ours["seeds"].keys() & theirs["seeds"].keys()
        compared = summary([ours["seeds"][seed] - theirs["seeds"][seed] for seed in sorted(both)])
        margin = compared["margin"]
        compared["significant"] = None if margin is None else abs(compared["mean"]) > margin
        found.append(compared)
    return found


def _classes(
    table: Table, column: Column, out: Path, settings: ReproduceSettings
) -> dict[str, Any]:
    """Return what `class_scores` finds; nothing where things are scored, and not pixels."""
    folders = {}
    for row in table.rows:
        jobs = scored(row, column.task, out, settings)
        by_seed = {seed: job.folder(out) for seed, job in jobs.items()}
        folders[row] = {s: path for s, path in by_seed.items() if (path / CONFUSIONS).is_file()}
    absent_as_zero = column.task.kind == "segmentation" and settings.scale == "paper"
    return class_scores(folders, table.baseline, absent_as_zero=absent_as_zero)


def _made(table: Table, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return on what data, days and machines the runs were made, as far as they tell."""
    days, machines = set(), set()
    for row in table.rows:
        for column in table.columns:
            jobs = scored(row, column.task, out, settings).values()
            days |= {date.fromtimestamp((j.folder(out) / SCORE).stat().st_mtime) for j in jobs}
            for run in (*jobs, *trained(row, column.task.backbone, out, settings)):
                path = run.folder(out) / "run.json"
                if path.is_file():
                    told = _read(path)
                    machines.add(json.dumps({**told["versions"], **told["hardware"]}))
    return {
        "data": kept_settings(out).get("data", "benchmark"),
        "days": [str(day) for day in sorted({min(days), max(days)})] if days else [],
        "machines": [json.loads(machine) for machine in sorted(machines)],
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def write_results(name: str, results: Mapping[str, Any], out: Path, console: Console) -> Path:
    """Write table-NAME.json and table-NAME.md, and print what came out."""
    found = sections(results)
    atomic_write(out / f"table-{name}.json", json.dumps(results, indent=1) + "\n")
    atomic_write(out / f"table-{name}.md", as_markdown(results, found))
    console.print(Markdown(as_markdown(results, found[:3])))
    return out / f"table-{name}.md"
