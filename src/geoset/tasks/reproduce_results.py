"""Tables from what the runs have scored: means, intervals, differences, published figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

import geoset
from geoset.evaluation.intervals import mean_and_margin
from geoset.files import atomic_write
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table
from geoset.tasks.reproduce_classes import class_scores
from geoset.tasks.reproduce_jobs import CONFUSIONS, SCORE, Encoder, Score, is_done
from geoset.training.log import read_log


def collect(name: str, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return all that a table says, as JSON holds it; what was not run is null."""
    table = TABLES[name]
    cells = {
        row: [_cell(row, column, out, settings) for column in table.columns] for row in table.rows
    }
    base = cells[table.baseline]
    for row, found in cells.items():
        for cell, reference in zip(found, base, strict=True):
            if row != table.baseline:
                cell["better"] = _difference(cell["seeds"], reference["seeds"])
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
        "rows": cells,
        "classes": [_classes(table, column, out, settings) for column in table.columns],
        "seconds": {row: _training_seconds(row, out, settings) for row in table.rows},
    }


def _cell(row: str, column: Column, out: Path, settings: ReproduceSettings) -> dict[str, Any]:
    """Return a cell: the figure of each seed that was run, and their mean and margin."""
    seeds = {}
    for seed in range(settings.seeds):
        job = Score(column.task, encoder_of(row, column.task.backbone, seed, settings))
        if is_done(job, out):
            scores = json.loads((job.folder(out) / SCORE).read_text())["scores"]
            seeds[str(seed)] = round(scores[column.metric], 3)
    return {"seeds": seeds, **summary(list(seeds.values()))}


def _classes(
    table: Table, column: Column, out: Path, settings: ReproduceSettings
) -> dict[str, Any]:
    """Return what `class_scores` finds; nothing where things are scored, and not pixels."""
    folders: dict[str, dict[int, Path]] = {row: {} for row in table.rows}
    for row in table.rows:
        for seed in range(settings.seeds):
            job = Score(column.task, encoder_of(row, column.task.backbone, seed, settings))
            if is_done(job, out) and (job.folder(out) / CONFUSIONS).is_file():
                folders[row][seed] = job.folder(out)
    absent_as_zero = column.task.kind == "segmentation" and settings.scale == "paper"
    return class_scores(folders, table.baseline, absent_as_zero=absent_as_zero)


def _difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, Any]:
    """Compare two cells seed by seed."""
    both = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    found = summary(both)
    margin = found["margin"]
    found["significant"] = None if margin is None else abs(found["mean"]) > margin
    return found


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return how many values there are, their mean and its margin; null where there is none."""
    if not values:
        return {"n": 0, "mean": None, "margin": None}
    mean, margin = mean_and_margin(values)
    known = None if margin != margin else round(margin, 3)
    return {"n": len(values), "mean": round(mean, 3), "margin": known}


def encoder_of(row: str, backbone: str, seed: int, settings: ReproduceSettings) -> Encoder:
    """Return what a method has trained when all its trainings have ended."""
    backbone = backbone if settings.scale == "paper" else "small"
    return Encoder(row, len(METHODS[row].trainings), backbone, seed)


def _training_seconds(row: str, out: Path, settings: ReproduceSettings) -> float | None:
    """Return what the trainings of a method took, the mean over seeds; None if none was run."""
    found = []
    for seed in range(settings.seeds):
        encoder = encoder_of(row, "resnet50", seed, settings)
        if encoder.trainings and is_done(encoder, out):
            found.append(sum(line["step_s"] for line in read_log(encoder.folder(out))))
    return round(sum(found) / len(found), 1) if found else None


def write_results(name: str, results: Mapping[str, Any], out: Path, console: Console) -> Path:
    """Write table-NAME.json and table-NAME.md, and print the table."""
    text = markdown(results)
    atomic_write(out / f"table-{name}.json", json.dumps(results, indent=1) + "\n")
    atomic_write(out / f"table-{name}.md", text)
    console.print(Markdown(text))
    return out / f"table-{name}.md"


def markdown(results: Mapping[str, Any]) -> str:
    """Return the table, the differences from its baseline, and what they mean."""
    columns, rows = results["columns"], results["rows"]
    published = any(cell.get("published") for row in rows.values() for cell in row)
    settings = results["settings"]
    lines = [
        f"# {results['title']}",
        "",
        f"In %, mean and 95 % interval over seeds (n behind them); scale {settings['scale']}"
        + ("; in brackets, what was published." if published else "."),
        "",
        f"| method | {' | '.join(columns)} | training, s |",
        f"|---|{'---:|' * (len(columns) + 1)}",
    ]
    for row, cells in rows.items():
        seconds = results["seconds"][row]
        texts = [cell_text(cell) for cell in cells]
        lines.append(
            f"| {METHODS[row].title} | {' | '.join(texts)} | {'' if seconds is None else seconds} |"
        )
    lines += [
        "",
        f"Difference from '{METHODS[results['baseline']].title}', seed by seed (* = the interval "
        "leaves out 0):",
        "",
        f"| method | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for row, cells in rows.items():
        if row != results["baseline"]:
            texts = [_difference_text(cell["better"]) for cell in cells]
            lines.append(f"| {METHODS[row].title} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def cell_text(cell: Mapping[str, Any]) -> str:
    """Return mean, margin, number of seeds, and what was published."""
    published = f" [{cell['published']}]" if cell.get("published") else ""
    if not cell["n"]:
        return f"not run{published}"
    return f"{cell['mean']:.1f}{_margin(cell)} ({cell['n']}){published}"


def _difference_text(cell: Mapping[str, Any]) -> str:
    if not cell["n"]:
        return "not run"
    return f"{cell['mean']:+.1f}{_margin(cell)}{'*' if cell['significant'] else ''}"


def _margin(cell: Mapping[str, Any]) -> str:
    return "" if cell["margin"] is None else f" ± {cell['margin']:.1f}"
