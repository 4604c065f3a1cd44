"""The Geo term of Pri3D: pixels of a view against the points of the surface that they see."""

from typing import NamedTuple

import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.losses.info_nce import check_temperature, unit_features
from geoset.losses.ranks import global_mean


class PointLoss(NamedTuple):
    """The pixel-to-point loss of a batch; every tensor is a scalar.

    loss: connected to the graph, and zero if no view has a sample
    views: views that have samples; the others count for nothing
    chance: the loss of a network that knows nothing, the mean over views of the log of their
        number of samples
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
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
    One direction only: points do not query pixels. Half precision is computed in float32, and
    nothing waits for the device.

    Raises:
        GeosetError: an argument is of another shape, or the temperature is not positive.
    """
    _check(pixels, points, count)
    check_temperature(temperature)
    used = torch.arange(pixels.shape[1], device=pixels.device) < count[:, None]
    samples = count.clamp(min=1)[:, None]
    with torch.autocast(pixels.device.type, enabled=False):
        # Padding is zeroed first, so that not even NaN in it reaches a gradient.
        query, key = (unit_features(side.where(used[..., None], 0)) for side in (pixels, points))
        # A view without samples keeps one key: the logarithm of no key has no gradient.
        unused = torch.zeros_like(used, dtype=query.dtype).masked_fill(
            torch.arange(pixels.shape[1], device=pixels.device) >= samples, -torch.inf
        )
        similarity = torch.baddbmm(unused[:, None], query / temperature, key.mT)
        own = (query * key).sum(-1)
        cost = (similarity.logsumexp(-1) - own / temperature).where(used, 0)
        has_any = count > 0
        loss = global_mean((cost / samples).sum(), has_any.sum(), across_ranks)

        own, total = own.detach().sum(), (query.sum(1) * key.sum(1)).detach().sum()
        queries, views = used.sum(), has_any.sum()
        negatives = (used.sum(1) * (used.sum(1) - 1)).sum()
        return PointLoss(
            loss,
            views,
            samples.to(cost.dtype).log().sum() / views.clamp(min=1),
            own / queries.clamp(min=1),
            (total - own) / negatives.clamp(min=1),
        )


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
