"""Fetching from the device what the last steps have found, of all of them at once.

Between two fetches nothing waits for the device.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.training.timing import Moment

if TYPE_CHECKING:
    from lightning_fabric import Fabric


BATCHES_BETWEEN_FETCHES = 10  # on an accelerator; a signal to stop is heeded at a fetch


class Taken(NamedTuple):
    """A step that the device was asked to take.

    step: of the stage, from 0
    lr: learning rate
    terms: what the loss function returned for each batch of the step, detached
    batches: what errors say of each batch
    waits: from when to when each batch was waited for
    ended: the moment after all of it
    """

    step: int
    lr: float
    terms: list[Mapping[str, Tensor | float]]
    batches: list[str]
    waits: list[tuple[Moment, Moment]]
    ended: Moment


def steps_together(device: torch.device, accumulate: int) -> int:
    """Return after how many steps of `accumulate` batches to fetch; a CPU never runs behind."""
    return 1 if device.type == "cpu" else max(1, BATCHES_BETWEEN_FETCHES // accumulate)


def fetch(
    fabric: "Fabric", taken: Sequence[Taken], *flags: bool
) -> tuple[list[dict[str, float]], list[bool]]:
    """Wait for the steps `taken`; return the terms of each, and whether any process set a flag.

    Terms are means over the batches of a step and over the processes. One reduction and one
    transfer carry all.

    Raises:
        GeosetError: batches have terms of different names.
    """
    names = list(taken[0].terms[0])
    rows = [_row(terms, names, fabric.device) for step in taken for terms in step.terms]
    table = torch.stack(rows).view(len(taken), -1, len(names)).mean(dim=1)
    message = fabric.all_reduce(torch.cat([table.flatten(), table.new_tensor(flags)])).tolist()
    count = table.numel()
    means = [message[start : start + len(names)] for start in range(0, count, len(names))]
    return [dict(zip(names, row, strict=True)) for row in means], [x > 0 for x in message[count:]]


def describe_bad_batches(fabric: "Fabric", step: Taken) -> str:
    """Describe the batches of `step`, on all processes, whose loss is not finite."""
    found = [
        text
        for terms, text in zip(step.terms, step.batches, strict=True)
        if text and not math.isfinite(terms["loss"])
    ]
    if fabric.world_size > 1:
        of_all = [[] for _ in range(fabric.world_size)]
        torch.distributed.all_gather_object(of_all, found)
        found = [text for texts in of_all for text in texts]
    return "; ".join(found)


def _row(terms: Mapping[str, Tensor | float], names: Sequence[str], device: torch.device) -> Tensor:
    """Return (T,) float32 on `device`."""
    if terms.keys() != set(names):
        raise GeosetError(
            f"the loss function returned the terms {', '.join(terms)}, and before them "
            f"{', '.join(names)}; return the same names at every step of a stage"
        )
    values = [terms[name] for name in names]
    return torch.stack(
        [
            # Numbers are filled in: to copy them would be to wait for the device each time.
            v.float()
            if isinstance(v, Tensor)
            else torch.full((), v, dtype=torch.float32, device=device)
            for v in values
        ]
    )
