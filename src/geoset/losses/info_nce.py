"""InfoNCE, the one formula behind the pixel and the set loss (Eq. 1-3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geoset.errors import GeosetError


class InfoNCE(NamedTuple):
    """The loss of queries against keys, and its scale; all scalar tensors.

    loss: mean over the queries; connected to the graph
    chance: mean over the queries of the log of their number of keys
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
    """

    loss: Tensor
    chance: Tensor
    positive: Tensor
    negative: Tensor


def info_nce(
    similarity: Tensor, positive: Tensor, temperature: float, used: Tensor | None = None
) -> InfoNCE:
    """Return -log softmax of the positives among the used keys, mean over queries.

    similarity: (..., Q, K) dot products of queries and keys
    positive: (Q, K) bool, at least one a query; several are averaged over, as in SupCon
    used: (Q, K) bool, the keys of each query's denominator, positives included; None: all
    """
    count = positive.sum(-1).expand(similarity.shape[:-1])
    if used is None:
        keys, key_count = similarity, torch.full_like(count, similarity.shape[-1])
    else:
        keys = similarity.masked_fill(~used, -torch.inf)
        key_count = used.sum(-1).expand_as(count)
    own = similarity.where(positive, 0).sum(-1)
    loss = ((keys / temperature).logsumexp(-1) - own / count / temperature).mean()

    similarity, own = similarity.detach(), own.detach().sum()
    total = similarity.sum() if used is None else similarity.where(used, 0).sum()
    negatives = (key_count - count).sum()
    return InfoNCE(
        loss,
        key_count.to(similarity.dtype).log().mean(),
        own / count.sum(),
        ((total - own) / negatives).where(negatives > 0, 0),
    )


def mean_of(terms: list[InfoNCE]) -> InfoNCE:
    """Return the mean of several terms, such as the two directions of a pair."""
    return InfoNCE(*(torch.stack(values).mean() for values in zip(*terms, strict=True)))


def nothing_to_learn(features: Tensor) -> InfoNCE:
    """Return zeros; the loss is connected to `features`, with a gradient of zero."""
    empty = at_least_float32(features[:0])
    zero = empty.new_zeros(())
    return InfoNCE(empty.sum(), zero, zero, zero)


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


def check_temperature(temperature: float) -> None:
    """Raise GeosetError unless the temperature is positive."""
    if not temperature > 0:
        raise GeosetError(f"temperature={temperature}: expected a positive number; 0.4 is usual")


def check_pairs(view_pairs: Tensor, views: Tensor) -> Tensor:
    """Return `view_pairs` (P,2) as int64 beside `views`, whose first dimension they index.

    Raises:
        GeosetError: the shape is another, or an index names no view.
    """
    if view_pairs.ndim != 2 or view_pairs.shape[1] != 2 or view_pairs.is_floating_point():
        raise GeosetError(
            f"view_pairs is {tuple(view_pairs.shape)} {view_pairs.dtype}; expected (P,2) integers"
        )
    if len(view_pairs) and not 0 <= int(view_pairs.min()) <= int(view_pairs.max()) < len(views):
        raise GeosetError(
            f"view_pairs name views {int(view_pairs.min())} to {int(view_pairs.max())}; expected "
            f"0 to {len(views) - 1}, the views of the batch"
        )
    return view_pairs.to(views.device, torch.int64)
