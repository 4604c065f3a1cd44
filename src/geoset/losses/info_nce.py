"""InfoNCE, the one formula behind the pixel and the set loss (Eq. 1-3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geoset.errors import GeosetError
from geoset.losses.ranks import global_mean, global_sum


class InfoNCE(NamedTuple):
    """The loss of queries against keys, and its scale; all scalar tensors.

    loss: mean over the queries; connected to the graph. Across ranks, see `global_mean`
    chance: mean over the queries of the log of their number of keys
    positive, negative: mean dot product with positives and with negatives

    All are 0 if there is nothing to take the mean of. All but the loss are detached and, across
    ranks, means over all processes.
    """

    loss: Tensor
    chance: Tensor
    positive: Tensor
    negative: Tensor


def info_nce(
    similarity: Tensor, positive: Tensor, used: Tensor, temperature: float, across_ranks: bool
) -> InfoNCE:
    """Return -log softmax of the positives among the used keys, mean over queries.

    similarity: (D,Q,K) dot products of queries and keys, in D directions
    positive: (Q,K) bool, at least one a query; several are averaged over, as in SupCon
    used: (Q,K) bool, the keys of each query's denominator, positives included
    """
    directions = len(similarity)
    positives, keys = positive.sum(-1), used.sum(-1)
    own = similarity.where(positive, 0).sum(-1)
    others = similarity.detach().where(used & ~positive, 0).sum()
    logits = (similarity / temperature).masked_fill_(~used, -torch.inf)
    loss = logits.logsumexp(-1) - own / positives / temperature

    queries = torch.full_like(positives.sum(), len(positives))
    total = [directions * keys.to(loss.dtype).log().sum(), own.sum(), others]
    count = directions * torch.stack([queries, positives.sum(), (keys - positives).sum()])
    return InfoNCE(
        global_mean(loss.sum(), directions * queries, across_ranks),
        *detached_means(torch.stack(total), count, across_ranks),
    )


def detached_means(total: Tensor, count: Tensor, across_ranks: bool) -> Tensor:
    """Return the means (N,) of sums `total` of `count` terms, or 0; across ranks, of all."""
    sums, counts = global_sum(torch.stack([total.double(), count.double()]), across_ranks)
    return (sums / counts.clamp(min=1)).to(total.dtype)


def at_least_float32(features: Tensor) -> Tensor:
    """Widen half precision to float32; float64 stays."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def unit_features(features: Tensor) -> Tensor:
    """L2-normalise (..., C), in float32 at least."""
    return F.normalize(at_least_float32(features), dim=-1)


def cell_features(features: Tensor) -> Tensor:
    """Return the feature maps (V,C,h,w) as one row a cell, (V*h*w,C).

    Raises:
        GeosetError: they are not four-dimensional, or not floating point.
    """
    if features.ndim != 4 or not features.is_floating_point():
        raise GeosetError(
            f"features are {tuple(features.shape)} {features.dtype}; expected (V,C,h,w) floating "
            "point, one map a view"
        )
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def take_rows(table: Tensor, index: Tensor) -> Tensor:
    """Return (...,C), the rows of (N,C) that `index` (...) names."""
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


def check_temperature(temperature: float) -> None:
    """Raise GeosetError unless the temperature is positive."""
    if not temperature > 0:
        raise GeosetError(f"temperature={temperature}: expected a positive number; 0.4 is usual")


def check_pairs(view_pairs: Tensor, views: Tensor) -> Tensor:
    """Return `view_pairs` (P,2) as int64 beside `views`, whose first dimension they index.

    Values are checked on a CPU only: elsewhere the check would wait for the device.

    Raises:
        GeosetError: the shape is another, or an index names no view.
    """
    if view_pairs.ndim != 2 or view_pairs.shape[1] != 2 or view_pairs.is_floating_point():
        raise GeosetError(
            f"view_pairs is {tuple(view_pairs.shape)} {view_pairs.dtype}; expected (P,2) integers"
        )
    named = view_pairs.flatten().tolist() if view_pairs.device.type == "cpu" else []
    if named and not 0 <= min(named) <= max(named) < len(views):
        raise GeosetError(
            f"view_pairs name views {min(named)} to {max(named)}; expected 0 to {len(views) - 1}, "
            "the views of the batch"
        )
    return view_pairs.to(views.device, torch.int64, non_blocking=True)
