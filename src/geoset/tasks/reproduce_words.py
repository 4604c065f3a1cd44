"""What the figures of a table mean, in words."""

from collections.abc import Mapping
from typing import Any

from geoset.recipes.methods import METHODS

ALIKE = 0.05  # seconds that differ by less than this part are as many

CHANCE_NOTE = (
    "Differences are taken seed by seed, between runs that share seed and labels, and so, where "
    "they have one, the first stage. Of twenty differences that are none, one leaves out 0 all the "
    "same."
)
CLASS_NOTE = (
    "IoU in %, mean ± half the 95 % interval over seeds. Geometry shows a chair or a floor; it "
    "does not show a door, window or picture that lies flush with its wall, so these are averaged "
    "apart. Other scenes: the 95 % interval when validation scenes are drawn anew, for the same "
    "trained networks. It says what other scenes would change, and nothing of other seeds."
)
COMPUTE_NOTE = (
    "Seconds are those of pre-training, the mean over seeds, on a machine that may have had other "
    "work. What is better at equal steps with less compute is better at equal compute, too, as far "
    "as more training does not harm it; what is better with more compute is not shown to be."
)


def lead(results: Mapping[str, Any]) -> str:
    """Say how many differences are more than chance, and which."""
    titles = {True: [], False: []}
    counted = 0
    for row, cells in results["rows"].items():
        for column, cell in zip(results["columns"], cells, strict=True):
            better = cell.get("better", {})
            counted += better.get("n", 0) > 0
            if better.get("significant"):
                titles[better["mean"] > 0].append(f"{METHODS[row].title} ({column})")
    count = len(titles[True]) + len(titles[False])
    baseline = METHODS[results["baseline"]].title
    words = f"{count} of {counted} differences from '{baseline}' are more than chance."
    if not counted:
        words = f"Nothing to compare with '{baseline}' has been run."
    for direction, found in (("Better", titles[True]), ("Worse", titles[False])):
        words += f" {direction}: {', '.join(found)}." if found else ""
    if results["settings"]["scale"] == "small":
        words += (
            " Made at small scale: compare the rows with each other, not with what is published."
        )
    return words


def not_run(results: Mapping[str, Any]) -> list[str]:
    """Name the cells that lack seeds, and how many they have."""
    planned, missing = results["settings"]["seeds"], []
    for row, cells in results["rows"].items():
        lacking = {
            column: cell["n"]
            for column, cell in zip(results["columns"], cells, strict=True)
            if cell["n"] < planned
        }
        if not any(cell["n"] for cell in cells):
            missing.append(METHODS[row].title)
        elif lacking:
            counts = (f"{column} {n} of {planned} seeds" for column, n in lacking.items())
            missing.append(f"{METHODS[row].title} ({', '.join(counts)})")
    return missing


def difference_in_words(cell: Mapping[str, Any]) -> str:
    """Say whether a cell differs from the baseline's by more than chance."""
    better = cell["better"]
    if not better["n"]:
        return "no seed in common" if cell["n"] else "not run"
    if better["margin"] is None:
        return f"{better['mean']:+.1f}: one seed, not to be told from chance"
    if not better["significant"]:
        seeds = f"not to be told apart with {better['n']} seeds"
        return f"{better['mean']:+.1f} ± {better['margin']:.1f}: {seeds}"
    direction = "better" if better["mean"] > 0 else "worse"
    return f"{direction} by {abs(better['mean']):.1f} ± {better['margin']:.1f}: more than chance"


def compared_at(ours: tuple[int, float | None], theirs: tuple[int, float | None]) -> str:
    """Say whether two pre-trainings, (steps, seconds), are of equal steps and equal compute."""
    if not theirs[0] or not ours[0]:
        return "no pre-training to compare"
    steps = _relation(ours[0] / theirs[0], 0.0, ("fewer", "equal", "more"))
    if not ours[1] or not theirs[1]:
        return f"{steps} steps"
    compute = _relation(ours[1] / theirs[1], ALIKE, ("less", "equal", "more"))
    return f"{steps} steps, {compute} compute"


def _relation(ratio: float, tolerance: float, words: tuple[str, str, str]) -> str:
    if abs(ratio - 1) <= tolerance:
        return words[1]
    return words[0] if ratio < 1 else words[2]
