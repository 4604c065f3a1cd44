"""Optimizers, and what changes in them from step to step.

Everything here is a function of the step, so that a resumed run has nothing to restore but the
optimizer's own state. Steps count from 0 at the start of each stage.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from geoset.errors import GeosetError

SHORTEST_STAGE_FOR_BATCHNORM_DECAY = 10_000


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of a stage and its schedule; the defaults are those of Pri3D."""

    kind: Literal["sgd", "adamw"] = "sgd"
    """Update rule. AdamW takes its betas from torch, and neither momentum nor dampening."""
    lr: float = 0.1
    """Learning rate at factor 1."""
    momentum: float = 0.9
    """Momentum of SGD."""
    dampening: float = 0.1
    """Dampening of SGD's momentum."""
    weight_decay: float = 0.0
    """Weight decay, on all parameters."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """How the learning rate falls until the stage ends."""
    power: float = 0.9
    """Power of the polynomial schedule."""
    warmup: int = 0
    """Steps over which the learning rate also rises linearly from near 0."""
    batchnorm_decay: bool = False
    """Let the momentum of BatchNorm fall as in Pri3D; see `batchnorm_momentum`."""

    def __post_init__(self) -> None:
        for name in ("kind", "schedule"):
            choices = get_args(self.__annotations__[name])
            if getattr(self, name) not in choices:
                raise GeosetError(
                    f"{name} is '{getattr(self, name)}'; choose from {', '.join(choices)}"
                )
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise GeosetError(f"lr is {self.lr}; expected a number above 0, such as 0.1")
        for name in ("momentum", "dampening"):
            if not 0 <= getattr(self, name) < 1:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 <= {name} < 1")
        for name in ("weight_decay", "power", "warmup"):
            if getattr(self, name) < 0:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 or more")


def build_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizerSettings) -> Optimizer:
    """Return a fresh optimizer over `parameters`."""
    if settings.kind == "adamw":
        return AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        dampening=settings.dampening,
        weight_decay=settings.weight_decay,
    )


def learning_rate(settings: OptimizerSettings, step: int, steps: int) -> float:
    """Return the learning rate of `step`, 0-based, in a stage of `steps`.

    Polynomial: `lr * (1 - step / (steps + 1)) ** power`, as in Pri3D; it never reaches 0.
    """
    factor = 1.0
    if settings.schedule == "poly":
        factor = (1 - step / (steps + 1)) ** settings.power
    elif settings.schedule == "cosine":
        factor = (1 + math.cos(math.pi * step / steps)) / 2
    return settings.lr * factor * min(1.0, (step + 1) / (settings.warmup + 1))


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def batchnorm_momentum(settings: OptimizerSettings, step: int, steps: int) -> float:
    """Return the momentum of BatchNorm at `step`, 0-based, in a stage of `steps`.

    With `batchnorm_decay`, `max(0.5 * 0.5 ** (step // 20), 0.001)`, as in Pri3D. It reaches 0.001
    after 180 steps, too early for the running statistics of a short stage to arrive: stages under
    10,000 steps keep 0.1.
    """
    if settings.batchnorm_decay and steps >= SHORTEST_STAGE_FOR_BATCHNORM_DECAY:
        return max(0.5 * 0.5 ** (step // 20), 0.001)
    return 0.1


def set_batchnorm_momentum(model: nn.Module, momentum: float) -> None:
    """Give every BatchNorm layer of `model` the same momentum."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum
