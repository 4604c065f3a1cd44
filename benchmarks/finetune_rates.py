"""Learning rates of fine-tuning at the small scale: which is best for each encoder of a table?

    python benchmarks/finetune_rates.py BENCHMARK OUT [--seed 0] [--rates 0.004 0.008]
        [--workers 2] [--write FILE.md]

BENCHMARK is a folder of `geoset reproduce benchmark`, whose encoders of a seed are fine-tuned on
its labelled rooms and scored on those for tuning, which no table is scored on. Runs that are in OUT
are not done again; each seed needs an OUT of its own.
"""

import argparse
import json
from collections.abc import Sequence
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
from geoset.tasks.reproduce.cells import encoder_of
from geoset.tasks.reproduce.data import benchmark
from geoset.tasks.segmentation import finetune

ROWS = ("scratch", "view_more_view", "view_sets")
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)


def score(row: str, rate: float, tables: Path, out: Path, seed: int) -> float:
    """Return the mIoU in % of a method's encoder, fine-tuned at a rate."""
    results = out / f"{row}-{rate:g}" / "results.json"
    if not results.is_file():
        torch.set_num_threads(1)
        encoder = encoder_of(row, "resnet18", seed, ReproduceSettings())
        weights = encoder.folder(tables) / "model.safetensors" if encoder.trainings else "scratch"
        recipe = segmentation_at_small_scale(SEGMENTATION_RECIPES["unet"])
        optimizer = replace(recipe.optimizer, lr=rate)
        recipe = replace(recipe, encoder=str(weights), optimizer=optimizer)
        train, val = benchmark(tables / "rooms", scored="tuning").open("scannet", FEW)
        finetune(train, val, results.parent, recipe, seed=seed, resume=True)
    return 100 * json.loads(results.read_text())["mean_iou"]


def markdown(scores: dict[str, list[float]], rates: Sequence[float]) -> str:
    """Return the table, a method a row."""
    lines = [
        "Fine-tuned on the labelled rooms, scored on those for tuning: mIoU in %, one run each; "
        "the best rate in bold.",
        "",
        f"| encoder | {' | '.join(f'{rate:g}' for rate in rates)} |",
        f"|---|{'---:|' * len(rates)}",
    ]
    for row, found in scores.items():
        texts = [f"**{value:.1f}**" if value == max(found) else f"{value:.1f}" for value in found]
        lines.append(f"| {METHODS[row].title} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time")
    parser.add_argument("--write", type=Path, help="file for the table, as Markdown")
    arguments = parser.parse_args()
    rates = arguments.rates
    run = partial(score, tables=arguments.benchmark, out=arguments.out, seed=arguments.seed)
    jobs = [joblib.delayed(run)(row, rate) for rate in rates for row in ROWS]
    found = joblib.Parallel(arguments.workers)(jobs)
    scores = {row: found[k :: len(ROWS)] for k, row in enumerate(ROWS)}
    text = f"{markdown(scores, rates)}\n{machine()}, torch {torch.__version__}\n"
    print(text)
    if arguments.write:
        atomic_write(arguments.write, text)


if __name__ == "__main__":
    main()
