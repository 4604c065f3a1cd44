"""A small run with all that a resumed one must restore: momentum, BatchNorm, dropout, noise.

As a script: `python toy_run.py STEPS SECONDS OPTIONS RUN ...` makes one run after the other, see
`slow_run`; OPTIONS is JSON.
"""

import itertools
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_model
from torch import nn

from geoset.training import loop
from geoset.training.loop import train
from geoset.training.schedule import OptimizerSettings
from geoset.training.stage import Stage

SETTINGS = {"recipe": "toy", "sizes": (4, 8)}
STEPS = (7, 5)


@dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor
    step: int

    def to(self, device):
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    def describe(self):
        return f"scene toy, frame {self.step}"


def toy_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1)
    )


def toy_batches(first, rank, world, accumulate=1):
    for step in itertools.count(first * accumulate):
        generator = torch.Generator().manual_seed(1000 * step + rank)
        x = torch.randn(16, 4, generator=generator)
        yield Batch(x, x.sum(1, keepdim=True), step)


def compute(model, batch, generator):
    noise = 0.1 * torch.randn(batch.x.shape, generator=generator)
    error = model(batch.x + noise.to(batch.x)) - batch.y
    return {"loss": (error**2).mean(), "bias": error.mean().detach(), "count": 16}


def toy_stages(batches=toy_batches, compute=compute, steps=STEPS, lr=0.05):
    sgd = OptimizerSettings(lr=lr)
    adamw = OptimizerSettings("adamw", lr=lr / 10, schedule="cosine", warmup=2)
    return [
        Stage("first", steps[0], sgd, batches, compute, frames_per_batch=16),
        Stage("second", steps[1], adamw, batches, compute, frames_per_batch=16),
    ]


def toy_train(out, stages=None, **options):
    """Train the toy; returns the model and the path of its weights."""
    model = toy_model()
    options = {
        "settings": SETTINGS,
        "seed": 0,
        "accelerator": "cpu",
        "tensorboard": False,
    } | options
    # On a busy machine two threads wait for each other at every layer.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return model, train(model, stages or toy_stages(), out, save_weights=save_model, **options)
    finally:
        torch.set_num_threads(threads)


def slow_run(out: str | Path, steps: int, seconds: float, together: int = 1, **options) -> None:
    """Train with a pause at each batch and a checkpoint at each fetch, resuming if there is a run.

    together: steps between fetches
    """

    def slow_batches(first, rank, world):
        for batch in toy_batches(first, rank, world, options.get("accumulate", 1)):
            time.sleep(seconds)
            yield batch

    loop.steps_together = lambda device, accumulate: together
    stages = toy_stages(slow_batches, steps=(steps, steps))
    toy_train(out, stages, **({"resume": True, "checkpoint_seconds": 0} | options))


if __name__ == "__main__":
    for out in sys.argv[4:]:
        slow_run(out, int(sys.argv[1]), float(sys.argv[2]), **json.loads(sys.argv[3]))
