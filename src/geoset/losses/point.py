"""The Geo term of Pri3D: pixels of a view against the points of the surface that they see."""

from typing import NamedTuple

import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.losses.within import contrast_within


class PointLoss(NamedTuple):
    """The loss between pixels and points of a batch; every tensor is a scalar.

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
    """Return the InfoNCE (Eq. 1-2) between sampled pixels and the points they see, in each view.

    pixels: (V,S,C) features of S sampled pixels a view
    points: (V,S,C) features of the points that they see: row i is the positive of pixel i, the
        view's other rows its negatives
    count: (V,) integers, samples of each view; rows beyond are neither queries nor keys
    across_ranks: mean over the views of all processes, see `global_mean`

    Features are L2-normalised here. Pixels query points and points query pixels, as in Pri3D; mean
    of both, over a view's samples, then over the views that have any. Waits for no device.

    Raises:
        GeosetError: an argument is of another shape, or the temperature is under 0.025.
    """
    _check(pixels, points, count)
    used = torch.arange(pixels.shape[1], device=pixels.device) < count[:, None]
    terms = contrast_within(pixels, points, used, temperature, across_ranks)
    views = (count > 0).sum()
    return PointLoss(terms.loss, views, terms.chance, terms.positive, terms.negative)


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
