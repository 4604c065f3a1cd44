"""What a table's results say, section by section: the same on the page and in Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoset.recipes.tables import TABLES
from geoset.reports.tables import markdown_table
from geoset.tasks.reproduce.cells import summary
from geoset.tasks.reproduce.compute import (
    compute_of,
    fairness,
    preparing_text,
    ratios,
    second_fairness,
)
from geoset.tasks.reproduce.words import (
    CHANCE_NOTE,
    CLASS_NOTE,
    PAPER_NOTE,
    RUN_NOTE,
    SMALL_NOTE,
    STEP_NOTE,
    command,
    difference_text,
    headline,
    margin_text,
    not_run,
    of_seeds,
    question,
    title_of,
    verdicts,
)


@dataclass(frozen=True)
class Rows:
    """A table; `folded`: the words behind which a page hides it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""


@dataclass(frozen=True)
class Points:
    """Sentences, one below the other."""

    items: Sequence[str]


@dataclass(frozen=True)
class Literal:
    """Text as it is typed or printed."""

    text: str


Block = str | Rows | Points | Literal
Section = tuple[str, list[Block]]

CLASS_HEADINGS = (
    "classes geometry shows",
    "flush classes",
    "mIoU, other scenes",
    "difference, other scenes",
)


def sections(results: Mapping[str, Any]) -> list[Section]:
    """Return headings and what is below them, the answer first."""
    found: list[Section] = [
        ("What came out", _answer(results)),
        ("Scores", _scores(results)),
        ("Equal steps, equal compute", _fairness(results)),
        (f"Differences from '{title_of(results['baseline'])}'", _differences(results)),
        ("Classes", _classes(results)),
        ("Steps, time and memory", _cost(results)),
        ("How it was made", _provenance(results)),
    ]
    return [(heading, blocks) for heading, blocks in found if blocks]


def _answer(results: Mapping[str, Any]) -> list[Block]:
    columns, baseline, also = results["columns"], results["baseline"], results["also"]
    found = {
        row: [cell["better"] for cell in cells]
        for row, cells in results["rows"].items()
        if row != baseline
    }
    blocks: list[Block] = [headline(results), Points(verdicts(found, columns))]
    second = verdicts(also["rows"], columns)
    if second:
        blocks += [f"Compared with '{title_of(also['baseline'])}':", Points(second)]
    return [*blocks, " ".join(not_run(results)) or "Every cell was run."]


def _scores(results: Mapping[str, Any]) -> list[Block]:
    published = any(cell.get("published") for cells in results["rows"].values() for cell in cells)
    how = "In %: mean ± half the 95 % interval over seeds (number of seeds)"
    rows = [[title_of(row), *map(cell_text, cells)] for row, cells in results["rows"].items()]
    note = how + (" [what was published]." if published else ".")
    small = results["settings"]["scale"] == "small"
    notes = [SMALL_NOTE] if published and small else []
    on_scannet = any(c.task.data == "scannet" for c in TABLES[results["table"]].columns)
    if results["made"]["data"] != "benchmark" and not small and on_scannet:
        notes.append(PAPER_NOTE)
    return [Rows(["method", *results["columns"]], rows), note, *notes]


def cell_text(cell: Mapping[str, Any]) -> str:
    """Return mean, margin, number of seeds, and what was published."""
    published = f" [{cell['published']}]" if cell.get("published") else ""
    if not cell["n"]:
        return f"not run{published}"
    return f"{cell['mean']:.1f}{margin_text(cell)} ({cell['n']}){published}"


def _differences(results: Mapping[str, Any]) -> list[Block]:
    columns, also = results["columns"], results["also"]
    rows = [
        [title_of(row), *(_difference(cell) for cell in cells)]
        for row, cells in results["rows"].items()
        if row != results["baseline"]
    ]
    second = [[title_of(r), *map(difference_text, found)] for r, found in also["rows"].items()]
    blocks: list[Block] = [Rows(["method", *columns], rows)]
    if second:
        blocks.append(Rows([f"against '{title_of(also['baseline'])}'", *columns], second))
    return [*blocks, CHANCE_NOTE]


def _difference(cell: Mapping[str, Any]) -> str:
    return difference_text(cell["better"]) if cell["n"] else "not run"


def _classes(results: Mapping[str, Any]) -> list[Block]:
    """Return kinds of classes, and, folded, every class, for each column that has them."""
    blocks: list[Block] = []
    for column, found in zip(results["columns"], results["classes"], strict=True):
        if not found:
            continue
        rows = [
            [
                title_of(row),
                *(_plain(scores[kind]) for kind in ("shown", "flush")),
                _range(scores["scenes"]),
                _range(scores["better_scenes"], "+"),
            ]
            for row, scores in found.items()
        ]
        names = next(iter(found.values()))["classes"]
        by_name = [[name, *(_plain(f["classes"][name]) for f in found.values())] for name in names]
        blocks += [
            Rows([column, *CLASS_HEADINGS], rows),
            Rows(["class", *map(title_of, found)], by_name, f"{column}: each class"),
        ]
    note = " ".join([CLASS_NOTE, *of_seeds(results, "Intervals over other scenes")])
    return [note, *blocks] if blocks else []


def _plain(values: Sequence[float]) -> str:
    cell = summary(values)
    return f"{cell['mean']:.1f}{margin_text(cell)}" if cell["n"] else "–"


def _range(ends: Sequence[float] | None, sign: str = "") -> str:
    return "–" if ends is None else f"{ends[0]:{sign}.1f} to {ends[1]:{sign}.1f}"


def _fairness(results: Mapping[str, Any]) -> list[Block]:
    if not any(cost["stages"] for cost in results["cost"]["rows"].values()):
        return []
    said, second = fairness(results), second_fairness(results)
    blocks: list[Block] = [Points(said)] if said else []
    if second:
        blocks += [
            f"With '{title_of(results['also']['baseline'])}' as the baseline:",
            Points(second),
        ]
    return blocks


def _cost(results: Mapping[str, Any]) -> list[Block]:
    costs, baseline = results["cost"]["rows"], results["baseline"]
    theirs = costs[baseline]["stages"]
    rows = []
    for row, cost in costs.items():
        if stages := cost["stages"]:
            parts = (f"{s['name']} {s['steps']} × {s['step_s']:.2f}" for s in stages)
            ratio = ratios(stages, theirs)
            shown = f"{ratio.compute:.2f}" if ratio and row != baseline else ""
            rows.append([title_of(row), ", ".join(parts), f"{compute_of(stages):.0f} s", shown])
    blocks: list[Block] = []
    if rows:
        headings = ["method", "stages: steps × s", "compute", "of baseline"]
        blocks = [Rows(headings, rows), STEP_NOTE, preparing_text(results["cost"]["preparing"])]
    return [block for block in [*blocks, *_processes(results)] if block]


def _processes(results: Mapping[str, Any]) -> list[Block]:
    """Return time and memory of runs; columns of one task share a run."""
    tasks: dict[Any, list[int]] = {}
    for k, column in enumerate(TABLES[results["table"]].columns):
        tasks.setdefault(column.task, []).append(k)
    titles = [", ".join(results["columns"][k] for k in places) for places in tasks.values()]
    rows = [
        [
            title_of(row),
            _process(cost["training"]) if cost["stages"] else "–",
            *(_process(cost["scoring"][places[0]]) for places in tasks.values()),
        ]
        for row, cost in results["cost"]["rows"].items()
    ]
    note = " ".join([RUN_NOTE, *of_seeds(results, "Times and memory")])
    return [Rows(["method", "pre-training", *titles], rows), note]


def _process(cost: Mapping[str, Any]) -> str:
    if not cost["n"]:
        return "not measured"
    return f"{cost['seconds']:.0f} s, {cost['peak_mb'] / 1000:.1f} GB ({cost['n']})"


def _provenance(results: Mapping[str, Any]) -> list[Block]:
    made = results["made"]
    lines = [command(results), "", f"geoset {results['geoset']}", json.dumps(results["settings"])]
    lines += [json.dumps(machine) for machine in made["machines"]]
    if made["days"]:
        lines.append("scored " + " to ".join(made["days"]))
    if made.get("hours"):
        lines.append(f"by the clock: {made['hours']:.1f} hours")
    return [Literal("\n".join(lines))]


def as_markdown(results: Mapping[str, Any], found: Sequence[Section], level: int = 1) -> str:
    """Return title, question and sections; level: of the title's heading."""
    parts = [f"{'#' * level} {results['title']}", question(results)]
    for heading, blocks in found:
        parts += [f"{'#' * (level + 1)} {heading}", *map(_block, blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Points):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Literal):
        return f"```text\n{block.text}\n```"
    if isinstance(block, Rows):
        table = markdown_table(block.headings, block.rows)
        return f"{block.folded}:\n\n{table}" if block.folded else table
    return block
