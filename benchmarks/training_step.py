"""A step of pre-training beside a step of the same network on random tensors.

    python benchmarks/training_step.py [PREPARED]

Without PREPARED, a made-up room. ResNet-18 UNet, 4 pairs. Steps of `geoset pretrain` (augmentation,
forward, losses, backward, optimizer, log; all but waiting for data) alternate with those of the
bare network (forward, backward of a mean, optimizer; same memory format). Claim, at 240x320: at
most 1.10 times as long with View, with sets, and with both.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch
from inputs import machine, prepared_or_room

from geoset import PreparedScene
from geoset.models.load import save_model
from geoset.prepare.data_set import find_scenes
from geoset.recipes import RECIPES, ModelSettings, PretrainRecipe, StageSettings
from geoset.tasks.pretrain import build_pretraining, stages_of
from geoset.tasks.pretrain_step import TrainingBatch
from geoset.training.loop import train
from geoset.training.schedule import build_optimizer

STEPS = 7  # the first warms up
STAGES = (
    StageSettings("view", steps=STEPS + 1, view=1.0),
    StageSettings("sets", steps=STEPS + 1, sets=1.0),
    StageSettings("view+sets", steps=STEPS + 1, view=1.0, sets=1.0),
)
RECIPE = replace(RECIPES["paper"], stages=STAGES, model=ModelSettings("resnet18"), batch_pairs=4)


def bare_step(images: torch.Tensor):
    """Return what takes a step of the bare network."""
    model = build_pretraining(RECIPE, seed=0)[0].image
    optimizer = build_optimizer(model.parameters(), STAGES[0].optimizer)

    def step() -> None:
        model(images).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(scenes: list[PreparedScene], recipe: PretrainRecipe, out: Path) -> tuple[list, list]:
    """Return the seconds of each step of training, and of the bare network just before it."""
    network, _ = build_pretraining(recipe, seed=0)
    (stage,) = stages_of(recipe, scenes, network, seed=0)
    batches = list(stage.batches(0, 0, 1))
    images = torch.rand(batches[0].images.shape).contiguous(memory_format=torch.channels_last)
    bare, seconds, bare_seconds = bare_step(images), [], []

    def alternating(first: int, rank: int, ranks: int) -> Iterator[TrainingBatch]:
        for batch in batches:
            began = time.perf_counter()
            bare()
            bare_seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            yield batch
            seconds.append(time.perf_counter() - began)

    with redirect_stdout(io.StringIO()):
        train(
            network,
            [replace(stage, batches=alternating)],
            out,
            settings={},
            seed=0,
            save_weights=lambda network, path: save_model(network.image, path),
            accelerator="cpu",
            checkpoint_seconds=1e9,
        )
    return seconds[1:], bare_seconds[1:STEPS]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = find_scenes([prepared_or_room(sys.argv[1:], folder)])
        scenes = [PreparedScene(path) for path in paths]
        camera = scenes[0].camera(0)
        print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
        for stage in STAGES:
            recipe = replace(RECIPE, stages=(stage,))
            seconds, bare = measure(scenes, recipe, folder / stage.name)
            ratios = [step / alone for step, alone in zip(seconds, bare, strict=True)]
            print(
                f"{stage.name}, {RECIPE.batch_pairs} pairs of {camera.height}x{camera.width}: "
                f"{min(seconds):.3f} s a step, bare network {min(bare):.3f} s; ratio "
                f"{min(seconds) / min(bare):.3f} of the least, {statistics.median(ratios):.3f} "
                f"median of {len(ratios)} neighbours",
                flush=True,
            )


if __name__ == "__main__":
    main()
