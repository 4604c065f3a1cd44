"""Every architecture, fine-tuned on few labels: from scratch, and from pre-trained weights.

    python benchmarks/architectures.py OUT [--seeds 0 1 2] [--only unet...] [--steps 300]

Made-up rooms: 36 to pre-train on (400 steps of View, 800 of sets), 24 others to learn from, 4
images each, and 32 others to be scored on. A seed is one of pre-training and of fine-tuning alike,
so a row differs from the one above it in the weights it starts from, and in nothing else. Prints
mean and standard deviation over the seeds, and the paired difference from scratch. A run that was
stopped goes on; with several processes, give each its own seeds first, then all seeds for the
table.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import torch
from inputs import machine

from geoset.recipes import (
    INSTANCE_RECIPES,
    RECIPES,
    SEGMENTATION_RECIPES,
    DataSettings,
    PrepareSettings,
    instances_at_small_scale,
    segmentation_at_small_scale,
)
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks.finetuned import finetune_instances, finetune_segmentation
from geoset.tasks.prepare import prepare
from geoset.tasks.pretrain import pretrain

# purpose -> (first seed, rooms, images of each); the rooms of the benchmark are others
ROOMS = {"unlabelled": (50_000, 36, 14), "labelled": (60_000, 24, 4), "heldout": (70_000, 32, 4)}
MASK_RCNN = "mask_rcnn"
VIEW, SETS = RECIPES["demo"].stages
RECIPE = replace(RECIPES["demo"], stages=(VIEW, replace(SETS, steps=800)))
STARTS = {"scratch": None, "View": "stage-view", "View, then sets": "stage-sets"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=[*SEGMENTATION_RECIPES, MASK_RCNN])
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    make_data(arguments.out)
    for seed in arguments.seeds:
        run = arguments.out / f"pretrain-{seed}"
        pretrain([arguments.out / "prepared"], run, RECIPE, seed=seed, resume=True)
    print(f"{machine()}, torch {torch.__version__}, {arguments.steps} steps\n")
    print("| architecture | starts from | score, % | mean | better than scratch | each seed |")
    print("|---|---|---|---|---|---|")
    for architecture in arguments.only:
        scores = {
            start: [score(arguments.out, architecture, start, seed, arguments.steps)
                    for seed in arguments.seeds]
            for start in STARTS
        }  # fmt: skip
        for line in rows(architecture, scores):
            print(line, flush=True)


def make_data(out: Path) -> None:
    """Make the rooms, and prepare those to pre-train on; what is there is not made again."""
    for purpose, (first, count, frames) in ROOMS.items():
        joblib.Parallel(2)(
            joblib.delayed(write_room)(
                out / purpose / f"room-{seed}", seed, RoomSettings(frames=frames)
            )
            for seed in range(first, first + count)
        )
    size = RoomSettings().height, RoomSettings().width
    prepare(out / "unlabelled", out / "prepared", PrepareSettings(image_size=size))


def score(out: Path, architecture: str, start: str, seed: int, steps: int) -> dict[str, float]:
    """Fine-tune, unless that is done; return the scores in %."""
    weights = STARTS[start] and str(out / f"pretrain-{seed}" / f"{STARTS[start]}.safetensors")
    run = out / "finetuned" / f"{architecture}-{STARTS[start] or 'scratch'}-{seed}-{steps}"
    data = DataSettings(out / "labelled", out / "heldout", train_list=all_of(out / "labelled"))
    if not (run / "results.json").exists():
        if architecture == MASK_RCNN:
            settings, finetune = INSTANCE_RECIPES["scannet"], finetune_instances
            settings = instances_at_small_scale(settings, steps)
        else:
            settings, finetune = SEGMENTATION_RECIPES[architecture], finetune_segmentation
            settings = segmentation_at_small_scale(settings, steps)
        settings = replace(settings, encoder=weights or "scratch")
        finetune(data, run, settings, seed=seed, resume=True)
    results = json.loads((run / "results.json").read_text())
    if architecture == MASK_RCNN:
        of_all = {"box": results["boxes"]["mean"], "mask": results["masks"]["mean"]}
        return {
            f"{kind} {name}": 100 * (mean[name.lower()] or 0.0)
            for kind, mean in of_all.items()
            for name in ("AP", "AP50")
        }
    return {"mIoU": 100 * results["mean_iou"]}


def all_of(folder: Path) -> Path:
    """Write the list of a folder's scenes, so that all of them are learned from."""
    path = folder.with_suffix(".txt")
    path.write_text("".join(f"{scene.name}\n" for scene in sorted(folder.iterdir())))
    return path


def rows(architecture: str, scores: dict[str, Sequence[dict[str, float]]]) -> Iterable[str]:
    """Describe an architecture: a row for each score and start."""
    for name in scores["scratch"][0]:
        scratch = [found[name] for found in scores["scratch"]]
        for start, found in scores.items():
            values = [each[name] for each in found]
            gain = [value - base for value, base in zip(values, scratch, strict=True)]
            cells = [
                architecture,
                start,
                name,
                spread(values),
                spread(gain, "+") if start != "scratch" else "",
                ", ".join(f"{value:.1f}" for value in values),
            ]
            yield f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], sign: str = "") -> str:
    """Write mean and standard deviation."""
    deviation = f" (SD {statistics.stdev(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.1f}{deviation}"


if __name__ == "__main__":
    main()
