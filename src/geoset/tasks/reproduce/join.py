"""Put together what runs of a table in different places, with different seeds, have given."""

from collections.abc import Mapping
from typing import Any

from geoset.errors import GeosetError
from geoset.recipes.tables import TABLES
from geoset.tasks.reproduce.results import compared

Results = Mapping[str, Any]
OWN = {"seeds", "first_seed", "workers"}  # settings that the parts of a table may differ in


def join(ours: Results, theirs: Results) -> dict[str, Any]:
    """Return the results of a table over the seeds of both, as `collect` gives them.

    Figures of seeds are compared anew. What cannot be put together is that of the part with more
    seeds, which "together" names: intervals over scenes need the runs themselves, and times of
    different machines are no ratio.

    Raises:
        GeosetError: they are not of one table and one kind of runs, or have a seed in common.
    """
    _check(ours, theirs)
    main, other = sorted((ours, theirs), key=lambda part: -len(seeds_of(part)))
    cells = {
        row: [_cell(*pair) for pair in zip(of_row, other["rows"][row], strict=True)]
        for row, of_row in main["rows"].items()
    }
    first = min(part["settings"]["first_seed"] for part in (main, other))
    settings = main["settings"] | {
        "seeds": max(seeds_of(main) | seeds_of(other)) + 1 - first,
        "first_seed": first,
    }
    return {
        **main,
        "settings": settings,
        **compared(TABLES[main["table"]], cells),
        "classes": [
            _classes(*pair) for pair in zip(main["classes"], other["classes"], strict=True)
        ],
        "made": _made(main["made"], other["made"]),
        "together": main.get("together") or sorted(seeds_of(main)),
    }


def seeds_of(results: Results) -> set[int]:
    """Return the seeds that any cell has."""
    cells = [cell for of_row in results["rows"].values() for cell in of_row]
    return {int(seed) for cell in cells for seed in cell["seeds"]}


def _check(ours: Results, theirs: Results) -> None:
    for what in ("table", "columns", "metrics", "baseline"):
        if ours[what] != theirs[what]:
            raise GeosetError(f"results differ in {what}: {ours[what]} and {theirs[what]}")
    if list(ours["rows"]) != list(theirs["rows"]):
        raise GeosetError("results differ in their rows; make both with one version of geoset")
    one, two = ours["settings"], theirs["settings"]
    for name in (one.keys() | two.keys()) - OWN:
        if one.get(name) != two.get(name):
            raise GeosetError(
                f"{name} is {one.get(name)} for some seeds and {two.get(name)} for others; a table "
                "takes seeds that were run alike"
            )
    if both := sorted(seeds_of(ours) & seeds_of(theirs)):
        raise GeosetError(f"seed {both[0]} is in both results; a seed counts once")


def _cell(ours: Results, theirs: Results) -> dict[str, Any]:
    seeds = ours["seeds"] | theirs["seeds"]
    return {**ours, "seeds": {seed: seeds[seed] for seed in sorted(seeds, key=int)}}


def _classes(ours: Results, theirs: Results) -> dict[str, Any]:
    """Put together what `class_scores` has found of a column."""
    return {
        row: _of_method(ours[row], theirs[row]) if row in ours and row in theirs else found
        for row, found in {**theirs, **ours}.items()
    }


def _of_method(ours: Results, theirs: Results) -> dict[str, Any]:
    names = {**ours["classes"], **theirs["classes"]}
    return {
        **ours,
        "classes": {
            name: [*ours["classes"].get(name, ()), *theirs["classes"].get(name, ())]
            for name in names
        },
        **{kind: [*ours[kind], *theirs[kind]] for kind in ("shown", "flush")},
    }


def _made(ours: Results, theirs: Results) -> dict[str, Any]:
    days = sorted({*ours["days"], *theirs["days"]})
    machines = [*ours["machines"], *(m for m in theirs["machines"] if m not in ours["machines"])]
    return {"data": ours["data"], "days": days[:1] + days[1:][-1:], "machines": machines}
