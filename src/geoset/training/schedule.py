"""Optimizers, and what changes in them from step to step.

Everything here is a function of the step, so that a resumed run has nothing to restore but the
optimizer's own state. Steps count from 0 at the start of each stage.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from geoset.errors import GeosetError
from geoset.recipes import OptimizerSettings

SHORTEST_STAGE_FOR_BATCHNORM_DECAY = 10_000


def parameter_groups(model: nn.Module, lr_factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the parameters of `model` in groups for an optimizer, each with its `lr_factor`.

    lr_factors: by the start of parameter names, such as {"encoder.": 0.1}; the others have 1

    Raises:
        GeosetError: no parameter's name starts so.
    """
    groups = {start: [] for start in (*lr_factors, "")}
    for name, parameter in model.named_parameters():
        groups[next(start for start in groups if name.startswith(start))].append(parameter)
    for start in lr_factors:
        if not groups[start]:
            parts = ", ".join(name for name, _ in model.named_children())
            raise GeosetError(
                f"lr_factors name '{start}', but no parameter of {type(model).__name__} starts so; "
                f"its parts are {parts}"
            )
    return [
        {"params": parameters, "lr_factor": lr_factors.get(start, 1.0)}
        for start, parameters in groups.items()
        if parameters
    ]


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    settings: OptimizerSettings,
    fused: bool = False,
) -> Optimizer:
    """Return a fresh optimizer over `parameters`, or groups of them.

    fused: let AdamW take a step in one kernel. It also finds out there whether fp16 gradients have
        overflowed; others make the program wait for that. Not SGD: where the first step overflows,
        torch's fused one starts from a momentum that was never set.
    """
    if settings.kind == "adamw":
        return AdamW(
            parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused or None
        )
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
    elif settings.schedule == "steps":
        factor = 0.1 ** sum(step >= round(share * steps) for share in settings.falls)
    return settings.lr * factor * min(1.0, (step + 1) / (settings.warmup + 1))


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate `lr`, times its `lr_factor` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)


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
