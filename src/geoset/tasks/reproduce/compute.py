"""Whether methods are compared at equal steps, and at equal compute, in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from geoset.recipes.methods import METHODS
from geoset.tasks.reproduce.words import ALIKE, title_of

_TIMES = "(times the baseline's; in brackets that of a step of the last stage)"
_WITHIN = f"within {100 * ALIKE:.0f} %"
Stages = Sequence[Mapping[str, Any]]


class Ratios(NamedTuple):
    """A pre-training over the baseline's: steps, compute, and the time of a last stage's step."""

    steps: float
    compute: float
    last_step: float


def compute_of(stages: Stages) -> float:
    """Return the seconds that stages take on a quiet machine."""
    return sum(stage["steps"] * stage["step_s"] for stage in stages)


def ratios(ours: Stages, theirs: Stages) -> Ratios | None:
    """Compare two pre-trainings; None if one of them is none, or was not run."""
    if not ours or not theirs:
        return None
    steps = [sum(stage["steps"] for stage in stages) for stages in (ours, theirs)]
    return Ratios(
        steps[0] / steps[1],
        compute_of(ours) / compute_of(theirs),
        ours[-1]["step_s"] / theirs[-1]["step_s"],
    )


def fairness(results: Mapping[str, Any]) -> list[str]:
    """Say which comparisons with the baseline are of equal steps and of equal compute."""
    stages = _stages(results)
    baseline = results["baseline"]
    if not stages[baseline]:
        if METHODS[baseline].trainings:
            return ["The baseline was not run: whether steps and compute are equal is not known."]
        return ["The baseline has no pre-training.", _steps(stages)]
    return _by_kind(stages, baseline, stages) + _of_better(results, stages)


def second_fairness(results: Mapping[str, Any]) -> list[str]:
    """Say the same of the comparisons with the second baseline, if there is one and it was run."""
    also = results["also"]
    return _by_kind(_stages(results), also["baseline"], also["rows"])


def _stages(results: Mapping[str, Any]) -> dict[str, Stages]:
    return {row: cost["stages"] for row, cost in results["cost"]["rows"].items()}


def _by_kind(stages: Mapping[str, Stages], baseline: str | None, rows: Iterable[str]) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for row in rows:
        found = ratios(stages[row], stages[baseline])
        if row != baseline and found:
            kinds.setdefault(_kind(found), []).append(_item(row, found))
    return [f"{kind}: {', '.join(items)}." for kind, items in kinds.items()]


def _steps(stages: Mapping[str, Stages]) -> str:
    by_steps: dict[int, list[str]] = {}
    for row, found in stages.items():
        if found:
            steps = sum(stage["steps"] for stage in found)
            by_steps.setdefault(steps, []).append(f"'{title_of(row)}'")
    listed = [f"{steps} of {', '.join(rows)}" for steps, rows in sorted(by_steps.items())]
    return f"Steps of pre-training: {'; '.join(listed)}."


def _kind(found: Ratios) -> str:
    if found.steps != 1:
        return "Not at equal steps (times the baseline's steps; its compute)"
    if abs(found.compute - 1) <= ALIKE:
        return f"At equal steps and, {_WITHIN}, equal compute {_TIMES}"
    who = "the method" if found.compute > 1 else "the baseline"
    return f"At equal steps but not at equal compute, which favours {who} by the factor {_TIMES}"


def _item(row: str, found: Ratios) -> str:
    if found.steps != 1:
        return f"'{title_of(row)}' {found.steps:.2f}; {found.compute:.2f}"
    return f"'{title_of(row)}' {found.compute:.2f} ({found.last_step:.2f})"


def _of_better(results: Mapping[str, Any], stages: Mapping[str, Stages]) -> list[str]:
    """Say of what is better than the baseline whether it is so at equal compute."""
    at_equal, with_more = [], []
    for row, cells in results["rows"].items():
        found = ratios(stages[row], stages[results["baseline"]])
        better = [c["better"] for c in cells if row != results["baseline"]]
        if found and any(b["significant"] and b["mean"] > 0 for b in better):
            (with_more if found.compute > 1 + ALIKE else at_equal).append(f"'{title_of(row)}'")
    said = []
    if at_equal:
        said.append(f"Better at equal compute, {_WITHIN}, or at less: {', '.join(at_equal)}.")
    if with_more:
        said.append(
            f"Better, but with more compute, so not shown at equal compute: {', '.join(with_more)}."
        )
    return said


def preparing_text(preparing: Mapping[str, Any] | None) -> str:
    """Say what preparing the scenes took, which is done once for all runs."""
    if not preparing:
        return ""
    scenes, measured = preparing["scenes"], preparing["measured"]
    words = f"Preparing the {scenes} scenes is done once, for all methods and seeds"
    needed = (
        " View needs it, too, for its pairs; what it does not need are the sets and their groups."
    )
    if not measured:
        return f"{words}; its time was not measured, as they were there already.{needed}"
    part = "" if measured == scenes else f" for {measured} of them"
    return f"{words}; it took {preparing['seconds']:.0f} s{part}, summed over processes.{needed}"
