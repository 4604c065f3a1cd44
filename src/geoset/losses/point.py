"""The Geo term of Pri3D: pixels of a view against the points of the surface that they see."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from geoset.errors import GeosetError
from geoset.losses.info_nce import check_temperature, detached_means, unit_features
from geoset.losses.ranks import global_mean


class PointLoss(NamedTuple):
    """The pixel-to-point loss of a batch; every tensor is a scalar.

    loss: connected to the graph, and zero if no view has a sample
    views: views of this process that have samples; the others count for nothing
    chance: the loss of a network that knows nothing, the mean over views of the log of their
        number of samples
    positive, negative: mean dot product with positives and with negatives; 0 if none

    The last three are detached and, across ranks, means over all processes.
    """

    loss: Tensor
    views: Tensor
    chance: Tensor
    positive: Tensor
    negative: Tensor


def point_info_nce(
    pixels: Tensor,
    points: Tensor,
    count: Tensor,
    temperature: float = 0.4,
    across_ranks: bool = False,
) -> PointLoss:
    """Return the InfoNCE (Eq. 1) of pixels as queries and points as keys, within each view.

    pixels: (V,S,C) features of S sampled pixels a view
    points: (V,S,C) features of the points that they see: row i is the positive of pixel i, the
        view's other rows its negatives
    count: (V,) integers, samples of each view; rows beyond are neither queries nor keys
    across_ranks: mean over the views of all processes, see `global_mean`

    Features are L2-normalised here. Mean over a view's samples, then over the views that have any.
    One direction only: points do not query pixels (the code of Pri3D takes the mean of both). Half
    precision is computed in float32, and nothing waits for the device.

    Raises:
        GeosetError: an argument is of another shape, or the temperature is not positive.
    """
    _check(pixels, points, count)
    check_temperature(temperature)
    used = torch.arange(pixels.shape[1], device=pixels.device) < count[:, None]
    samples = used.sum(1)
    has_any = samples > 0
    with torch.autocast(pixels.device.type, enabled=False):
        # Padding is zeroed first, so that not even NaN in it reaches a gradient.
        query, key = (unit_features(side.where(used[..., None], 0)) for side in (pixels, points))
        own = (query * key).sum(-1)
        # Views without samples keep one key: the sum over none has no logarithm.
        keys = used.index_fill(1, used.new_zeros(1, dtype=torch.int64), True)
        cost = _LogSumExp.apply(query / temperature, key, keys) - own / temperature
        cost = cost.where(used, 0).sum(1) / samples.clamp(min=1)

        own, every = own.detach().sum(), (query.detach().sum(1) * key.detach().sum(1)).sum()
        totals = [samples.clamp(min=1).to(own.dtype).log().sum(), own, every - own]
        counts = [has_any.sum(), samples.sum(), (samples * (samples - 1)).sum()]
        return PointLoss(
            global_mean(cost.sum(), has_any.sum(), across_ranks),
            has_any.sum(),
            *detached_means(torch.stack(totals), torch.stack(counts), across_ranks),
        )


class _LogSumExp(Function):
    """Logs (V,S) of the sums of exp(query @ key.mT) over the keys, of each view those `used` (V,S).

    One (V,S,S) matrix is kept, and none is made on the way back.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, used: Tensor) -> Tensor:
        e = (query @ key.mT).masked_fill_(~used[:, None], -torch.inf)
        largest = e.amax(-1, keepdim=True)
        e.sub_(largest).exp_()
        total = e.sum(-1, keepdim=True)
        ctx.save_for_backward(query, key, e, total)
        return (total.log() + largest).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        query, key, e, total = ctx.saved_tensors
        scale = gradient[..., None] / total
        return e @ key * scale, e.mT @ (query * scale), None


def _check(pixels: Tensor, points: Tensor, count: Tensor) -> None:
    if pixels.ndim != 3 or pixels.shape != points.shape:
        raise GeosetError(
            f"pixels are {tuple(pixels.shape)}, points are {tuple(points.shape)}; expected (V,S,C) "
            "both, row i of a view's pixels matching row i of its points"
        )
    if count.shape != pixels.shape[:1] or count.is_floating_point():
        raise GeosetError(
            f"count is {tuple(count.shape)} {count.dtype}; expected ({len(pixels)},) integers, the "
            "samples of each view"
        )
