"""What the training loop is given for each part of a run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.training.schedule import OptimizerSettings


@dataclass(frozen=True)
class Stage:
    """One part of a run: how long it trains, on what, and for which loss.

    name: for the log, and the file `stage-<name>.safetensors`
    steps: how many
    optimizer: of this stage alone; it starts afresh
    batches: called with (first step of the stage to yield, rank, number of processes), yields the
        batches from that step on, `accumulate` of them a step. A batch must be a function of the
        seed, its place in that order and the rank alone. It is tensors in any nesting of dicts,
        lists and named tuples, or has a method `to(device)` that returns it moved. If it has a
        method `describe()`, errors quote that.
    compute: called with (model, batch, generator), returns named scalars: "loss", to be minimised,
        and whatever else is to be logged, the same names at every step: tensors on the model's
        device, or numbers. A term called ".../chance" is relative to the loss of a network that
        knows nothing: a run that stays at 1 is warned of. The generator lives on the model's
        device, and is seeded by seed, stage, place of the batch and rank. Call the model itself,
        not its parts; wait for nothing (`.item()`, masks as indices): steps are queued.
    frames_per_batch: images in one batch of one process
    lr_factors: by the start of parameter names, factors on their learning rate
    snapshots: steps after which the weights are saved, as `snapshot-<name>-<step>.safetensors`

    Raises:
        GeosetError: a stage without steps.
    """

    name: str
    steps: int
    optimizer: OptimizerSettings
    batches: Callable[[int, int, int], Iterator[Any]]
    compute: Callable[[nn.Module, Any, torch.Generator], Mapping[str, Tensor | float]]
    frames_per_batch: int
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    snapshots: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise GeosetError(f"stage '{self.name}' has {self.steps} steps; expected 1 or more")

    def snapshot(self, step: int) -> str:
        """Return the file name of the weights after `step` steps of the stage."""
        return f"snapshot-{self.name}-{step:08d}.safetensors"
