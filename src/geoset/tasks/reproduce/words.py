"""What the figures of a table mean, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES

# Compute that differs by less than this part is as much. Times of steps, which are of runs on a
# machine that does other things, too, are no more exact: one that does less came out 1.2 times as
# long.
ALIKE = 0.25

VERDICTS = {
    "better": "better",
    "worse": "worse",
    "open": "not to be told apart",
    "one seed": "one seed, not to be told from chance",
}
CHANCE_NOTE = (
    "In points: the mean of the differences seed by seed, ± half its 95 % interval (number of "
    "seeds). Runs that are compared share seed and labels, and so, where they have one, the first "
    "stage. Better or worse: the interval leaves out 0; open: it does not. Of twenty differences "
    "that are none, one leaves out 0 all the same."
)
CLASS_NOTE = (
    "IoU in %, mean ± half the 95 % interval over seeds. Geometry shows a chair or a floor; it "
    "does not show a door, window or picture that lies flush with its wall, so these are averaged "
    "apart. Other scenes: the 95 % interval when validation scenes are drawn anew, for the same "
    "trained networks. It says what other scenes would change, and nothing of other seeds."
)
STEP_NOTE = (
    "A step: its time on a quiet machine, which is the fastest twentieth of the steps of all "
    "seeds. Compute: steps times that, without what is done besides training."
)
RUN_NOTE = (
    "Whole processes, the mean over the seeds that were measured (so many in brackets): seconds by "
    "the clock, with start, checkpoints, and whatever else the machine did at the time; the most "
    "memory that the process held."
)
PAPER_NOTE = (
    "As in the paper, pre-training has seen all 1,513 scenes of ScanNet: those that are scored on, "
    "too, without their labels."
)
SMALL_NOTE = (
    "Made at small scale, with a narrow ResNet-18 from random weights, Pri3D without its depth "
    "proxy: compare the rows with each other, not with what is published."
)


def question(results: Mapping[str, Any]) -> str:
    """Return what a table asks."""
    asked = TABLES[results["table"]].question
    return asked or f"How do these methods compare with '{title_of(results['baseline'])}'?"


def title_of(row: str) -> str:
    """Return what tables call a method."""
    return METHODS[row].title


def headline(results: Mapping[str, Any]) -> str:
    """Say how many of the differences from the baseline are significant."""
    found = [cell["better"] for cell in _compared(results) if cell["better"]["n"]]
    baseline = title_of(results["baseline"])
    if not found:
        return f"Nothing to compare with '{baseline}' has been run."
    seeds = sorted({better["n"] for better in found} - {1})
    if not seeds:
        return f"One seed: no difference from '{baseline}' can be told from chance."
    several = [better for better in found if better["n"] > 1]
    count = sum(bool(better["significant"]) for better in several)
    over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    said = [
        f"{count} of {len(several)} differences from '{baseline}' are significant: the 95 % "
        f"interval of the paired differences, over {over} seeds, leaves out 0."
    ]
    if len(several) < len(found):
        said.append(f"{len(found) - len(several)} more are of one seed, which tells nothing.")
    if seeds[0] == 2:
        said.append("Two seeds give intervals so wide that what is open may well be a difference.")
    return " ".join(said)


def verdicts(found: Mapping[str, Sequence[Mapping[str, Any]]], columns: Sequence[str]) -> list[str]:
    """Return for each column sentences on what is better, worse, not to be told, and of one seed.

    found: by row, the differences of its columns
    """
    said = []
    for k, column in enumerate(columns):
        by_verdict: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
        for row, differences in found.items():
            better = differences[k]
            if better["n"]:
                by_verdict[_verdict(better)].append(f"'{title_of(row)}' {points(better)}")
        said += [
            f"{column}, {VERDICTS[verdict]}: {', '.join(items)}."
            for verdict, items in by_verdict.items()
            if items
        ]
    return said


def _verdict(better: Mapping[str, Any]) -> str:
    if better["margin"] is None:
        return "one seed"
    if not better["significant"]:
        return "open"
    return "better" if better["mean"] > 0 else "worse"


def points(better: Mapping[str, Any]) -> str:
    """Return a difference and its margin."""
    shown = round(better["mean"], 1) + 0.0  # no -0.0
    return f"{shown:+.1f}" + margin_text(better)


def margin_text(cell: Mapping[str, Any]) -> str:
    """Return half an interval behind its mean; nothing if it is not known."""
    return "" if cell["margin"] is None else f" ± {cell['margin']:.1f}"


def difference_text(better: Mapping[str, Any]) -> str:
    """Return a difference, the number of its seeds, and whether it is more than chance."""
    if not better["n"]:
        return "no seed in common"
    return f"{points(better)} ({better['n']}), {_verdict(better)}"


def not_run(results: Mapping[str, Any]) -> list[str]:
    """Return a sentence for the cells without a seed, and one for those that lack some."""
    planned = results["settings"]["seeds"]
    none, some = [], []
    for row, cells in results["rows"].items():
        counts = {
            column: cell["n"]
            for column, cell in zip(results["columns"], cells, strict=True)
            if cell["n"] < planned
        }
        empty = [column for column, n in counts.items() if not n]
        few = [f"{column} {n}" for column, n in counts.items() if n]
        whole = len(empty) == len(cells)
        none += [title_of(row) + ("" if whole else f" ({', '.join(empty)})")] if empty else []
        some += [f"{title_of(row)} ({', '.join(few)})"] if few else []
    said = [f"Not run: {'; '.join(none)}."] if none else []
    return said + ([f"Cells with fewer than {planned} seeds: {'; '.join(some)}."] if some else [])


def of_seeds(results: Mapping[str, Any], what: str) -> list[str]:
    """Say of which seeds something is, if not of all: of those that were run in one place."""
    seeds = results.get("together")
    if not seeds:
        return []
    if len(seeds) == 1:
        return [f"{what} are of seed {seeds[0]} alone."]
    return [f"{what} are of the seeds {', '.join(map(str, seeds))}, which were run together."]


def command(results: Mapping[str, Any]) -> str:
    """Return the command that makes a table."""
    settings, words = results["settings"], ["geoset reproduce", results["table"]]
    if results["made"]["data"] != "benchmark":
        needed = sorted({column.task.data for column in TABLES[results["table"]].columns})
        words += ["--data", *(f"{name}=PATH" for name in needed)]
    words.append(f"--seeds {settings['seeds']} --workers {settings['workers']}")
    usual, rooms = asdict(ReproduceSettings()), settings["rooms"]
    names = ("first_seed", "scale", "pretrain_steps", "finetune_steps")
    options = {name: settings[name] for name in names}
    changed = {name: value for name, value in options.items() if value != usual[name]}
    changed |= {f"rooms.{n}": count for n, count in rooms.items() if count != usual["rooms"][n]}
    words += [f"--{name.replace('_', '-')} {value}" for name, value in changed.items()]
    return " ".join(words)


def _compared(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows, baseline = results["rows"], results["baseline"]
    return [cell for row, cells in rows.items() if row != baseline for cell in cells]
