"""The set loss: pixels of one geometric consistency set agree, sets differ (Eq. 3)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from geoset.errors import GeosetError
from geoset.losses.info_nce import (
    cell_features,
    check_temperature,
    info_nce,
    take_rows,
    unit_features,
)
from geoset.losses.ranks import gather_rows, row_counts, rows_before
from geoset.losses.set_matches import SetMatches, find_set_matches

AGGREGATIONS = ("mean", "random_pixel")
KEYS = ("other_view", "both_views")
NEGATIVES = ("batch", "pair")
CHANNELS = 32  # that sums are taken over at a time


class SetLoss(NamedTuple):
    """The set loss of a batch; every tensor is a scalar.

    loss: connected to the graph, and zero if nothing matches
    matches: (set, pair) combinations of this process in which the set is visible in both views
    chance: the loss of a network that knows nothing, the mean log of the number of keys
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
    """

    loss: Tensor
    matches: int
    chance: Tensor
    positive: Tensor
    negative: Tensor


def set_info_nce(
    features: Tensor,
    set_ids: Tensor,
    view_pairs: Tensor,
    *,
    temperature: float = 0.4,
    min_pixels: int = 1,
    aggregation: Literal["mean", "random_pixel"] = "mean",
    keys: Literal["other_view", "both_views"] = "other_view",
    group_ids: Tensor | None = None,
    generator: Generator | None = None,
) -> SetLoss:
    """Return Set-InfoNCE (Eq. 3) over all matches of a batch, mean of both directions.

    `find_set_matches` and `matched_set_loss` in one, for features (V,C,h,w): their arguments, and
    their errors. A training step calls them apart, the first in the data loader.
    """
    cell_features(features)
    if set_ids.ndim and len(set_ids) != len(features):
        raise GeosetError(
            f"set_ids is {tuple(set_ids.shape)}; expected ({len(features)},H,W), one map for each "
            "view of the features"
        )
    matches = find_set_matches(
        set_ids, view_pairs, features.shape[-2:], min_pixels=min_pixels, group_ids=group_ids
    )
    return matched_set_loss(
        features,
        SetMatches(*(tensor.to(features.device) for tensor in matches)),
        temperature=temperature,
        aggregation=aggregation,
        keys=keys,
        generator=generator,
    )


def matched_set_loss(
    features: Tensor,
    matches: SetMatches,
    *,
    temperature: float = 0.4,
    aggregation: Literal["mean", "random_pixel"] = "mean",
    keys: Literal["other_view", "both_views"] = "other_view",
    negatives: Literal["batch", "pair"] = "batch",
    across_ranks: bool = False,
    generator: Generator | None = None,
) -> SetLoss:
    """Return Set-InfoNCE (Eq. 3) over all matches of a batch, mean of both directions.

    Waits for no device; the number of operators does not depend on the batch.

    features: (V,C,h,w) of V views
    matches: from `find_set_matches` for this (h, w), on the device of the features. Keys of other
        sets of the query's group are positives too, averaged over, instead of negatives
    aggregation: "mean" over the set's unit features (Sec. 3.2), or "random_pixel" (Sec. 5.2):
        query and negatives are one random pixel of their set, the positive is the mean
    keys: "other_view" takes the matched projections of the other side of every pair;
        "both_views" adds those of the query's own side
    negatives: keys, positives of the group too, from the whole "batch", or from the query's "pair"
    across_ranks: the batch is that of all processes: the mean over them of each value is that of
        one process with all views, and so are gradients that are averaged as DDP does. Every
        process must call this, and backward, whether or not it has matches
    generator: draws the random pixels, on its own device; None: torch's, of the features' device

    Half precision is computed in float32. The paper leaves open, and we choose: keys from the
    other view, as in Eq. 1-2 (Eq. 3 sums over the query's own side); the query's own set, seen
    in other views, left out of its keys; both directions; mean instead of sum; temperature;
    negatives from the whole batch.

    Raises:
        GeosetError: an argument is of another shape, or not one of those offered.
    """
    cells = cell_features(features)
    _check_options(temperature, aggregation, keys, negatives)
    if len(matches.cell_start) != len(cells):
        views, _, height, width = features.shape
        raise GeosetError(
            f"matches were found in {len(matches.cell_start)} feature cells, but {views} views of "
            f"{height}x{width} have {len(cells)}; expected those of find_set_matches(..., "
            f"feature_size=({height}, {width})) for the same views"
        )
    with torch.autocast(features.device.type, enabled=False):
        gathered = across_ranks and negatives == "batch"
        counts = row_counts(len(matches.pair)) if gathered else None
        positive, used = _key_masks(matches, keys, negatives, counts)
        similarity = _similarity(cells, matches, positive, aggregation, keys, counts, generator)
        terms = info_nce(similarity, positive, used, temperature, across_ranks)
    return SetLoss(terms.loss, len(matches.pair), terms.chance, terms.positive, terms.negative)


def _similarity(
    cells: Tensor,
    matches: SetMatches,
    positive: Tensor,
    aggregation: str,
    keys: str,
    counts: list[int] | None,
    generator: Generator | None,
) -> Tensor:
    """Return the dot products of queries and keys, (2,M,K), in both directions."""
    ends = matches.ends
    means = take_rows(_SetMeans.apply(cells, matches), ends)
    key = _key_sides(_gathered(means, counts), keys).flatten(1, 2)
    if aggregation == "mean":
        return means @ key.mT
    drawn = torch.cat([ends[:, None], _key_sides(ends, keys)], dim=1)
    pixels = unit_features(take_rows(cells, _random_cells(matches, drawn, generator)))
    query, negative = pixels.split([1, drawn.shape[1] - 1], dim=1)
    negative = _gathered(negative, counts).flatten(1, 2)
    query = query.squeeze(1)
    return torch.where(positive, query @ key.mT, query @ negative.mT)


def _key_sides(ends: Tensor, keys: str) -> Tensor:
    """Return (2,S,...) of (2,...): what stands at the S sides that hold keys of each direction."""
    sides = [ends.flip(0), ends] if keys == "both_views" else [ends.flip(0)]
    return torch.stack(sides, dim=1)


def _key_masks(
    matches: SetMatches, keys: str, negatives: str, counts: list[int] | None
) -> tuple[Tensor, Tensor]:
    """Return which keys are positives of each query, and which it uses at all, (M,K) bool."""
    own = torch.stack([matches.set_id, matches.group], dim=1)
    gathered = _gathered(own, counts)
    (set_id, group), (key_set, key_group) = own[:, None].unbind(2), gathered.unbind(1)
    other_set = set_id != key_set
    if negatives == "pair":
        other_set &= matches.pair[:, None] == matches.pair
    same_group = (group == key_group) & (group >= 0) & other_set
    number = torch.arange(len(gathered), device=own.device)
    first = 0 if counts is None else rows_before(counts)
    itself = number[first : first + len(own), None] == number
    positive, used = itself | same_group, itself | other_set
    if keys == "both_views":
        positive, used = torch.cat([positive, same_group], 1), torch.cat([used, other_set], 1)
    return positive, used


def _gathered(rows: Tensor, counts: list[int] | None) -> Tensor:
    return rows if counts is None else gather_rows(rows, counts)


def _random_cells(matches: SetMatches, projection: Tensor, generator: Generator | None) -> Tensor:
    """Return the cell of a random pixel of each `projection`, uniform over its pixels."""
    device = projection.device
    draw = torch.rand(
        projection.shape,
        generator=generator,
        device=generator.device if generator else device,
        dtype=torch.float64,
    ).to(device, non_blocking=True)
    size = matches.size[projection]
    # Pixels are counted piece by piece in order of projections, there; and in order of cells, here.
    there = (matches.size.cumsum(0) - matches.size)[projection] + (draw * size).long()
    here = matches.count.cumsum(0)
    before = (here - matches.count)[matches.piece_start]
    pixels = before.diff(append=here[-1:])[matches.piece_order]
    piece_end = pixels.cumsum(0)
    here_from_there = before[matches.piece_order] - (piece_end - pixels)
    pixel = there + here_from_there[torch.searchsorted(piece_end, there, right=True)]
    return matches.cell[torch.searchsorted(here, pixel, right=True)]


class _SetMeans(Function):
    """Means (U,C) of the unit features of cells (N,C) over the pixels of each projection.

    Both ways are sums over runs in a fixed order, in float32 at least. The norms of the cells go
    into the weights, and few channels are widened at a time: no copy of all features is made.
    """

    @staticmethod
    def forward(ctx, cells: Tensor, matches: SetMatches) -> Tensor:
        wide = torch.promote_types(cells.dtype, torch.float32)
        norm = torch.linalg.vector_norm(cells, dim=1, dtype=wide).clamp(min=1e-12)
        share = matches.count.to(wide) / matches.size.index_select(0, matches.owner)
        weight = share / norm.index_select(0, matches.cell)
        ctx.save_for_backward(cells, norm, share)
        ctx.matches = matches
        pieces = torch.cat(
            [
                _weighted_sums(part.to(wide), matches.cell, matches.piece_start, weight)
                for part in cells.split(CHANNELS, dim=1)
            ],
            dim=1,
        )
        return _weighted_sums(pieces, matches.piece_order, matches.projection_start)

    @staticmethod
    @once_differentiable
    def backward(ctx, means_gradient: Tensor) -> tuple[Tensor, None]:
        cells, norm, share = ctx.saved_tensors
        matches, norm = ctx.matches, norm[:, None]

        def unit_gradient(part: Tensor) -> Tensor:
            return _weighted_sums(part, matches.owner, matches.cell_start, share)

        along = torch.zeros_like(norm)
        parts = cells.split(CHANNELS, dim=1), means_gradient.split(CHANNELS, dim=1)
        for cell, part in zip(*parts, strict=True):
            along += unit_gradient(part).mul_(cell).sum(1, keepdim=True)
        along /= norm.square()
        gradient = torch.empty_like(cells)
        for result, cell, part in zip(gradient.split(CHANNELS, dim=1), *parts, strict=True):
            wide = cell.to(norm.dtype)
            result.copy_(unit_gradient(part).addcmul_(wide, along, value=-1).div_(norm))
        return gradient, None


def _weighted_sums(
    table: Tensor, index: Tensor, start: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return the sums of rows of `table`: those that `index` lists from each `start` on."""
    return F.embedding_bag(index, table, start, mode="sum", per_sample_weights=weight)


def _check_options(temperature: float, aggregation: str, keys: str, negatives: str) -> None:
    check_temperature(temperature)
    for name, value, offered in (
        ("aggregation", aggregation, AGGREGATIONS),
        ("keys", keys, KEYS),
        ("negatives", negatives, NEGATIVES),
    ):
        if value not in offered:
            raise GeosetError(f"{name}='{value}' is unknown; choose one of: {', '.join(offered)}")
