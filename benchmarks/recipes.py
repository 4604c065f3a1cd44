"""Every recipe, end to end, at small scale: does each loss come down?

    python benchmarks/recipes.py OUT PREPARED... [--steps 200] [--only NAME...]

Prints a table row a stage: each loss relative to chance (1 = a network that knows nothing; the
depth proxy as it is), mean over the first and over the last tenth of the steps. Run folders, with
their curves, stay in OUT; a run that was stopped goes on.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from inputs import machine

from geoset.recipes import RECIPES, PretrainRecipe, StageSettings, at_small_scale
from geoset.tasks.pretrain import pretrain
from geoset.training.log import read_log

SETS = RECIPES["sets_only"]
VARIANTS = {
    "sets, random pixel": replace(SETS, aggregation="random_pixel"),
    "sets, keys of both views": replace(SETS, keys="both_views"),
    "sets, negatives of the pair": replace(SETS, negatives="pair"),
    "sets, in two parts": replace(SETS, accumulate=2),
    "all terms at once": replace(
        SETS, stages=(StageSettings("all", epochs=1, view=1.0, geo=1.0, depth=1.0, sets=1.0),)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("prepared", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    named = {name: recipe for name, recipe in RECIPES.items() if name not in ("small", "demo")}
    print(f"{machine()}, torch {torch.__version__}, {arguments.steps} steps a stage\n")
    print("| recipe | stage | loss, first tenth -> last tenth | seconds |\n|---|---|---|---|")
    for name, recipe in (named | VARIANTS).items():
        if not arguments.only or name in arguments.only:
            run(name, at_small_scale(recipe, arguments.steps), arguments.prepared, arguments.out)


def run(name: str, recipe: PretrainRecipe, prepared: Sequence[Path], out: Path) -> None:
    """Run one recipe and print its rows."""
    folder = out / name.replace(", ", "-").replace(" ", "_")
    began = time.monotonic()
    pretrain(prepared, folder, recipe, resume=True)
    seconds = time.monotonic() - began
    for stage in recipe.stages:
        rows = [row for row in read_log(folder) if row["stage"] == stage.name]
        print(f"| {name} | {stage.name} | {course(rows)} | {seconds:.0f} |", flush=True)


def course(rows: Sequence[Mapping[str, float]]) -> str:
    """Describe how the losses of a stage moved."""
    tenth = max(1, len(rows) // 10)
    names = [name for name in rows[0] if name.endswith(("/chance", "depth/loss"))]
    means = [
        [sum(row[name] for row in part) / tenth for part in (rows[:tenth], rows[-tenth:])]
        for name in names
    ]
    return ", ".join(
        f"{name.removesuffix('/chance')} {first:.2f} -> {last:.2f}"
        for name, (first, last) in zip(names, means, strict=True)
    )


if __name__ == "__main__":
    main()
