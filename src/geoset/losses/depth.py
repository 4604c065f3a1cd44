"""The depth proxy term: predict the depth of a single view, its slopes and normals (Pri3D)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geoset.errors import GeosetError
from geoset.losses.info_nce import at_least_float32, detached_means
from geoset.losses.ranks import global_mean


class DepthLoss(NamedTuple):
    """The depth loss of a batch; every tensor is a scalar.

    loss: mean of the three terms, connected to the graph; zero if no depth is valid
    logarithm, gradient, normal: the terms, detached; across ranks, means over all processes
    valid: pixels of this process with valid depth
    """

    loss: Tensor
    logarithm: Tensor
    gradient: Tensor
    normal: Tensor
    valid: Tensor


def depth_loss(predicted: Tensor, depth: Tensor, across_ranks: bool = False) -> DepthLoss:
    """Return the mean of three terms between predicted and measured depth (Hu et al. 2019).

    predicted: (V,h,w) metres, upsampled bilinearly (align_corners=True) to the size of `depth`
    depth: (V,H,W) metres, 0 = none
    across_ranks: means over the pixels of all processes, see `global_mean`

    With e the difference of two depths d' and d, and dx, dy their Sobel derivatives:
        logarithm: log(|e| + 0.5)
        gradient: log(|dx(e)| + 0.5) + log(|dy(e)| + 0.5)
        normal: 1 - cos of the angle between the normals (-dx, -dy, 1) of d' and of d
    each a mean over valid pixels, of whichever view. The Sobel filter is not normalised, as in
    Pri3D and Hu et al.: weights 1, 2, 1 on differences of two pixels, 8 times the slope a pixel.
    Windows that touch invalid depth or the border are left out (Pri3D keeps them). A perfect
    prediction costs log 0.5, 2 log 0.5 and 0, so the loss goes down to log 0.5 = -0.69.

    Half precision is computed in float32, and nothing waits for the device.

    Raises:
        GeosetError: an argument is of another shape.
    """
    if predicted.ndim != 3 or depth.ndim != 3 or len(predicted) != len(depth):
        raise GeosetError(
            f"predicted is {tuple(predicted.shape)}, depth is {tuple(depth.shape)}; expected "
            "(V,h,w) and (V,H,W), one map a view"
        )
    if min(depth.shape[1:]) < 3:
        raise GeosetError(
            f"depth maps are {tuple(depth.shape[1:])}; expected at least 3x3, the Sobel window"
        )
    with torch.autocast(depth.device.type, enabled=False):
        predicted = at_least_float32(predicted)
        predicted = F.interpolate(
            predicted[:, None], depth.shape[1:], mode="bilinear", align_corners=True
        ).squeeze(1)
        valid = depth > 0
        depth = depth.where(valid, 0).to(predicted.dtype)
        whole = F.max_pool2d((~valid).float(), 3, stride=1) == 0

        slopes, true_slopes = _sobel(predicted), _sobel(depth)
        terms = [
            (_log_distance(predicted - depth), valid),
            (_log_distance(slopes - true_slopes).sum(0), whole),
            (1 - _cosine(slopes, true_slopes), whole),
        ]
        totals = torch.stack([value.where(used, 0).sum() for value, used in terms])
        counts = torch.stack([used.sum() for _, used in terms])
        return DepthLoss(
            global_mean(totals, counts, across_ranks).mean(),
            *detached_means(totals.detach(), counts, across_ranks),
            counts[0],
        )


def _log_distance(difference: Tensor) -> Tensor:
    return (difference.abs() + 0.5).log()


def _sobel(depth: Tensor) -> Tensor:
    """Return dx and dy of (V,H,W) as (2,V,H-2,W-2)."""
    # Differences, not a convolution, which GPUs may round to ten bits.
    across, down = depth[:, :, 2:] - depth[:, :, :-2], depth[:, 2:] - depth[:, :-2]
    dx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    dy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.stack([dx, dy])


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine between the normals (-dx, -dy, 1) of two surfaces with slopes (2,...)."""
    squares = (1 + a.square().sum(0)) * (1 + b.square().sum(0))
    return (1 + (a * b).sum(0)) * squares.rsqrt()
