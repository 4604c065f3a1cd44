"""A step of pre-training beside a step of the same network on random tensors.

    python benchmarks/training_step.py [PREPARED]

Without PREPARED, a made-up room. ResNet-18 UNet, 4 pairs. Steps of `geoset pretrain` (augmentation,
forward, losses, backward, optimizer, log; all but waiting for data) alternate with those of the
bare network (forward, backward of a mean, optimizer; same memory format). Claim, at 240x320: at
most 1.15 times as long, in either stage.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from inputs import machine, prepared_or_room

from geoset import ResUNet
from geoset.data.pairs import PairBatch, PairBatches
from geoset.models.load import save_model
from geoset.prepare.scene import find_scenes
from geoset.recipes import RECIPES, OptimizerSettings, StageSettings
from geoset.tasks.pretrain import compute_losses
from geoset.training.loop import train
from geoset.training.schedule import build_optimizer
from geoset.training.stage import Stage

RECIPE = replace(RECIPES["paper"], batch_pairs=4)
OPTIMIZER = OptimizerSettings()
STEPS = 7  # the first warms up


def bare_step(images: torch.Tensor):
    """Return what takes a step of the bare network."""
    model = network()
    optimizer = build_optimizer(model.parameters(), OPTIMIZER)

    def step() -> None:
        model(images).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def network() -> ResUNet:
    return ResUNet("resnet18").to(memory_format=torch.channels_last)


def measure(batches: PairBatches, settings: StageSettings, out: Path) -> tuple[list, list]:
    """Return the seconds of each step of training, and of the bare network just before it."""
    images = torch.rand(batches[0].images.shape).contiguous(memory_format=torch.channels_last)
    bare, seconds, bare_seconds = bare_step(images), [], []

    def alternating(first: int, rank: int, ranks: int) -> Iterator[PairBatch]:
        for step in range(STEPS + 1):
            batch = batches[step]
            began = time.perf_counter()
            bare()
            bare_seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            yield batch
            seconds.append(time.perf_counter() - began)

    stage = Stage(
        settings.name,
        STEPS + 1,
        OPTIMIZER,
        alternating,
        partial(compute_losses, RECIPE, settings),
        frames_per_batch=len(images),
    )
    with redirect_stdout(io.StringIO()):
        train(
            network(),
            [stage],
            out,
            settings={},
            seed=0,
            save_weights=save_model,
            accelerator="cpu",
            checkpoint_seconds=1e9,
        )
    return seconds[1:], bare_seconds[1:STEPS]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = find_scenes([prepared_or_room(sys.argv[1:], folder)])
        batches = PairBatches(scenes, RECIPE.batch_pairs, seed=0)
        height, width = batches[0].images.shape[2:]
        print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
        for settings in RECIPE.stages:
            seconds, bare = measure(batches, settings, folder / settings.name)
            ratios = [step / alone for step, alone in zip(seconds, bare, strict=True)]
            print(
                f"stage {settings.name}, {RECIPE.batch_pairs} pairs of {height}x{width}: "
                f"{min(seconds):.3f} s a step, bare network {min(bare):.3f} s; ratio "
                f"{min(seconds) / min(bare):.3f} of the least, {statistics.median(ratios):.3f} "
                f"median of {len(ratios)} neighbours",
                flush=True,
            )


if __name__ == "__main__":
    main()
