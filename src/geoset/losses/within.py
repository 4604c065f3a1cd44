"""InfoNCE of matched rows within groups, in both directions: the View and the Geo term of Pri3D."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from geoset.errors import GeosetError
from geoset.losses.info_nce import InfoNCE, check_temperature, detached_means, unit_features
from geoset.losses.ranks import global_mean

LEAST_TEMPERATURE = 0.025


def contrast_within(
    a: Tensor, b: Tensor, used: Tensor, temperature: float, across_ranks: bool
) -> InfoNCE:
    """Contrast row i of `a` with row i of `b`, against the group's other rows, and back.

    a, b: (G,N,C), L2-normalised here
    used: (G,N) bool; other rows are neither queries nor keys, whatever they hold
    across_ranks: mean over the groups of all processes, see `global_mean`

    Mean over both directions, over a group's rows, then over the groups that have any. Half
    precision is computed in float32, and nothing waits for the device.

    Raises:
        GeosetError: the temperature is under 0.025.
    """
    check_temperature(temperature)
    if temperature < LEAST_TEMPERATURE:
        raise GeosetError(
            f"temperature={temperature}: expected at least {LEAST_TEMPERATURE}, below which "
            "exponentials vanish in float32; 0.4 is usual"
        )
    rows = used.sum(1)
    groups = (rows > 0).sum()
    with torch.autocast(a.device.type, enabled=False):
        # Zeroed first, so that not even NaN in an unused row reaches a gradient.
        a, b = (unit_features(side.where(used[..., None], 0)) for side in (a, b))
        own = (a * b).sum(-1)
        loss = _LogSumExps.apply(a / temperature, b, used) - own / temperature
        loss = loss.where(used, 0).sum(1) / rows.clamp(min=1)

        own, every = own.detach().sum(), (a.detach().sum(1) * b.detach().sum(1)).sum()
        totals = [rows.clamp(min=1).to(own.dtype).log().sum(), own, every - own]
        counts = [groups, rows.sum(), (rows * (rows - 1)).sum()]
        return InfoNCE(
            global_mean(loss.sum(), groups, across_ranks),
            *detached_means(torch.stack(totals), torch.stack(counts), across_ranks),
        )


class _LogSumExps(Function):
    """Mean (G,N) of the logs of the sums of exp(a @ b.mT) over its rows and over its columns.

    The exponentials are taken once for both, less the largest exponent of the group: rows and
    columns must not be so much smaller that they vanish. What is not `used` is left out; its own
    values mean nothing.
    """

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, used: Tensor) -> Tensor:
        exponent = a @ b.mT
        largest = exponent.amax((1, 2), keepdim=True)
        e = exponent.sub_(largest).exp_().mul_(used[:, :, None]).mul_(used[:, None])
        # One in place of an empty sum, which has no logarithm.
        rows, columns = (
            e.sum(axis, keepdim=True).masked_fill_(~used.unsqueeze(axis), 1) for axis in (2, 1)
        )
        ctx.save_for_backward(a, b, e, rows, columns)
        return (rows.log() + columns.log().mT).squeeze(2) / 2 + largest.squeeze(2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, e, rows, columns = ctx.saved_tensors
        half = gradient[:, :, None] / 2
        gradient = (half / rows + half.mT / columns).mul_(e)
        return gradient @ b, gradient.mT @ a, None
