"""Discs and bars on a grey ground, labelled, in memory; and a detector of seconds to find them.

As a script: `python shapes.py MODEL OUT` evaluates a detector on them in two processes.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from geoset.data.label_set import Instances
from geoset.recipes import Hardware, OptimizerSettings
from geoset.recipes.instances import InstanceSettings
from geoset.tasks.instance_scores import evaluate
from geoset.tasks.instances import finetune

SIZE = (64, 80)
COLORS = {"disc": (200, 60, 40), "bar": (40, 90, 210)}

SETTINGS = InstanceSettings(
    backbone="resnet18",
    width=0.125,
    encoder="scratch",
    steps=4,
    batch=2,
    optimizer=OptimizerSettings(kind="adamw", lr=1e-3, schedule="steps", falls=(0.5,)),
    sizes=(64,),
    max_size=96,
    regions=16,
)
CPU = Hardware("cpu", workers=0, checkpoint_seconds=0)


@dataclass(frozen=True)
class Shapes:
    """`count` images; every fourth has nothing in it."""

    count: int
    seed: int = 0
    instance_classes: tuple[str, ...] = tuple(COLORS)
    name: str = "shapes"
    classes: tuple[str, ...] = ()

    def __len__(self):
        return self.count

    def image_id(self, i):
        return f"shapes-{self.seed}-{i}"

    def image(self, i):
        ground, masks, labels = self._draw(i)
        for mask, label in zip(masks, labels, strict=True):
            ground[mask] = COLORS[list(COLORS)[label]]
        return ground

    def instances(self, i):
        _, masks, labels = self._draw(i)
        return Instances(np.array(masks, bool).reshape(-1, *SIZE), np.array(labels, np.int64))

    def _draw(self, i):
        generator = np.random.default_rng((self.seed, i))
        ground = generator.integers(110, 140, (*SIZE, 3)).astype(np.uint8)
        y, x = np.indices(SIZE)
        masks = {
            0: np.hypot(y - generator.integers(14, 50), x - generator.integers(14, 26)) < 12,
            1: (abs(y - generator.integers(10, 54)) < 5) & (abs(x - 57) < 18),
        }
        present = [] if i % 4 == 3 else [[0, 1], [0], [1]][i % 4]
        return ground, [masks[label] for label in present], present


class Large:
    """Data whose discs have 1,000 pixels in label images larger than the images."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        return getattr(self._data, name)

    def __len__(self):
        return len(self._data)

    def instances(self, i):
        found = self._data.instances(i)
        return found._replace(areas=np.where(found.labels == 0, 1000, 999))


def tiny_finetune(out, settings=SETTINGS, data=None, **options):
    return finetune(
        data or Shapes(6), Shapes(3, seed=1), out, settings, **({"hardware": CPU} | options)
    )


def results(out):
    """The content of results.json."""
    return json.loads((out / "results.json").read_text())


if __name__ == "__main__":
    torch.set_num_threads(1)
    evaluate(Path(sys.argv[1]), Shapes(7), Path(sys.argv[2]), hardware=Hardware("cpu", 2))
