"""Coloured patches, labelled pixel by pixel, in memory; and a segmentation of seconds.

As a script: `python patches.py RUN` trains, validates and evaluates in two processes.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from geoset.data.label_set import Instances
from geoset.recipes import Hardware, OptimizerSettings
from geoset.recipes.segmentation import SegmentationSettings
from geoset.tasks.segmentation import finetune

SIZE = (32, 48)
COLORS = {
    "red": (200, 60, 40),
    "green": (50, 180, 60),
    "blue": (40, 90, 210),
    "gold": (250, 250, 0),
}

SETTINGS = SegmentationSettings(
    backbone="resnet18",
    width=0.125,
    encoder="scratch",
    steps=4,
    batch=4,
    size=SIZE,
    optimizer=OptimizerSettings(kind="adamw", lr=3e-3),
    encoder_lr_factor=0.5,
    snapshots=2,
)
CPU = Hardware("cpu", workers=0, checkpoint_seconds=0)


@dataclass(frozen=True)
class Patches:
    """`count` images of four patches; "gold" is nowhere, and every sixteenth pixel has no label."""

    count: int
    seed: int = 0
    name: str = "patches"
    classes: tuple[str, ...] = tuple(COLORS)
    instance_classes: tuple[str, ...] = ()

    def __len__(self):
        return self.count

    def image_id(self, i):
        return f"patches-{self.seed}-{i}"

    def image(self, i):
        colors = np.array(list(COLORS.values()))[self._classes(i)]
        noise = np.random.default_rng((self.seed, i, 1)).integers(-20, 20, colors.shape)
        return (colors + noise).clip(0, 255).astype(np.uint8)

    def semantic(self, i):
        found = self._classes(i)
        found[::4, ::4] = -1
        return found

    def instances(self, i):
        return Instances(np.zeros((0, *SIZE), bool), np.zeros(0, np.int64))

    def _classes(self, i):
        four = np.random.default_rng((self.seed, i)).integers(0, 3, (2, 2))
        return four.repeat(SIZE[0] // 2, axis=0).repeat(SIZE[1] // 2, axis=1)


def tiny_finetune(out, settings=SETTINGS, data=None, val=None, **options):
    data, val = data or Patches(10), val or Patches(5, seed=1)
    return finetune(data, val, out, settings, **({"hardware": CPU} | options))


if __name__ == "__main__":
    torch.set_num_threads(1)
    hardware = Hardware("cpu", devices=2, workers=0)
    settings = replace(SETTINGS, protocol="pri3d")
    tiny_finetune(Path(sys.argv[1]), settings, val=Patches(7, seed=1), hardware=hardware)
