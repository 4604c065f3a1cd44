"""Learning rates of fine-tuning at the small scale: which is best for each encoder of a table?

    python benchmarks/finetune_rates.py BENCHMARK OUT [--workers 2] [--write FILE.md]

BENCHMARK is a folder of `geoset reproduce benchmark`, whose encoders of seed 0 are fine-tuned on
its labelled rooms and scored on those for tuning, which no table is scored on. Runs that are in OUT
are not done again.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import torch
from inputs import machine

from geoset.files import atomic_write
from geoset.recipes import SEGMENTATION_RECIPES, segmentation_at_small_scale
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import FEW
from geoset.tasks.reproduce_cells import encoder_of
from geoset.tasks.reproduce_data import benchmark
from geoset.tasks.segmentation import finetune

ROWS = ("scratch", "view_more_view", "view_sets")
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)


def score(row: str, rate: float, tables: Path, out: Path) -> float:
    """Return the mIoU in % of a method's encoder, fine-tuned at a rate."""
    results = out / f"{row}-{rate:g}" / "results.json"
    if not results.is_file():
        torch.set_num_threads(1)
        encoder = encoder_of(row, "resnet18", 0, ReproduceSettings())
        weights = encoder.folder(tables) / "model.safetensors" if encoder.trainings else "scratch"
        recipe = segmentation_at_small_scale(SEGMENTATION_RECIPES["unet"])
        optimizer = replace(recipe.optimizer, lr=rate)
        recipe = replace(recipe, encoder=str(weights), optimizer=optimizer)
        train, val = benchmark(tables / "rooms", scored="tuning").open("scannet", FEW)
        finetune(train, val, results.parent, recipe, seed=0, resume=True)
    return 100 * json.loads(results.read_text())["mean_iou"]


def markdown(scores: dict[str, list[float]]) -> str:
    """Return the table, a method a row."""
    lines = [
        "Fine-tuned on the labelled rooms, scored on those for tuning: mIoU in %, one run each; "
        "the best rate in bold.",
        "",
        f"| encoder | {' | '.join(f'{rate:g}' for rate in RATES)} |",
        f"|---|{'---:|' * len(RATES)}",
    ]
    for row, found in scores.items():
        texts = [f"**{value:.1f}**" if value == max(found) else f"{value:.1f}" for value in found]
        lines.append(f"| {METHODS[row].title} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time")
    parser.add_argument("--write", type=Path, help="file for the table, as Markdown")
    arguments = parser.parse_args()
    run = partial(score, tables=arguments.benchmark, out=arguments.out)
    jobs = [joblib.delayed(run)(row, rate) for rate in RATES for row in ROWS]
    found = iter(joblib.Parallel(arguments.workers)(jobs))
    scores: dict[str, list[float]] = {row: [] for row in ROWS}
    for _ in RATES:
        for row in ROWS:
            scores[row].append(next(found))
    text = f"{markdown(scores)}\n{machine()}, torch {torch.__version__}\n"
    print(text)
    if arguments.write:
        atomic_write(arguments.write, text)


if __name__ == "__main__":
    main()
