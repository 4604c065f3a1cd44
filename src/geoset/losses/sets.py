"""The set loss: pixels of one geometric consistency set agree, sets differ (Eq. 3)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from geoset.errors import GeosetError
from geoset.losses.info_nce import (
    InfoNCE,
    cell_features,
    check_pairs,
    check_temperature,
    info_nce,
    mean_of,
    nothing_to_learn,
    unit_features,
)

AGGREGATIONS = ("mean", "random_pixel")
KEYS = ("other_view", "both_views")


class SetLoss(NamedTuple):
    """The set loss of a batch; every tensor is a scalar.

    loss: connected to the graph, and zero if nothing matches
    matches: (set, pair) combinations in which the set is visible in both views
    chance: the loss of a network that knows nothing, the mean log of the number of keys
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
    """

    loss: Tensor
    matches: int
    chance: Tensor
    positive: Tensor
    negative: Tensor


class _Matches(NamedTuple):
    """The M matches of a batch, and the pixels of the U projections that they need.

    ends: (2, M) projection, 0..U-1, of each match in its first and in its second view
    label: (M,) equal where the set is; group: (M,) group of the set, -1 = none
    size: (U,) pixels of each projection
    cell, count, owner: (R,) runs of `count` pixels that share a feature cell and a projection,
        sorted by projection
    """

    ends: Tensor
    label: Tensor
    group: Tensor
    size: Tensor
    cell: Tensor
    count: Tensor
    owner: Tensor


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

    features: (V,C,h,w) of V views; pixel (y, x) takes the feature of cell (y*h//H, x*w//W)
    set_ids: (V,H,W) integers, unique over the data set, -1 = none
    view_pairs: (P,2) indices of views
    min_pixels: of a set in each of both views, counted in H x W, for it to match there
    aggregation: "mean" over the set's unit features (Sec. 3.2), or "random_pixel" (Sec. 5.2):
        query and negatives are one random pixel of their set, the positive is the mean
    keys: "other_view" takes the matched projections of the other side of every pair;
        "both_views" adds those of the query's own side
    group_ids: (V,H,W) integers, one group a set, -1 = none; keys of other sets of the query's
        group are then positives too, averaged over, instead of negatives
    generator: draws the random pixels

    Half precision is computed in float32. The paper leaves open, and we choose: keys from the
    other view, as in Eq. 1-2 (Eq. 3 sums over the query's own side); the query's own set, seen
    in other views, left out of its keys; both directions; mean instead of sum; temperature.

    Raises:
        GeosetError: an argument is of another shape, or not one of those offered.
    """
    cells = cell_features(features)
    view_pairs = check_pairs(view_pairs, features)
    _check_options(temperature, min_pixels, aggregation, keys)
    _check_maps(len(features), set_ids, group_ids)
    found = _find_matches(set_ids, view_pairs, features.shape[-2:], min_pixels, group_ids)
    matches = len(found.label)
    if not matches:
        terms = nothing_to_learn(cells)
    else:
        with torch.autocast(cells.device.type, enabled=False):
            cells = unit_features(cells)
            terms = _both_directions(cells, found, temperature, aggregation, keys, generator)
    return SetLoss(terms.loss, matches, terms.chance, terms.positive, terms.negative)


def _both_directions(
    cells: Tensor,
    found: _Matches,
    temperature: float,
    aggregation: str,
    keys: str,
    generator: Generator | None,
) -> InfoNCE:
    means = _set_means(cells, found)
    positive, used = _key_masks(found, keys)
    directions = []
    for own, other in (found.ends, found.ends.flip(0)):
        key = other if keys == "other_view" else torch.cat([other, own])
        if aggregation == "mean":
            query = means.index_select(0, own)
            similarity = query @ means.index_select(0, key).T
        else:
            query = _random_pixels(cells, found, own, generator)
            similarity = torch.where(
                positive,
                query @ means.index_select(0, key).T,
                query @ _random_pixels(cells, found, key, generator).T,
            )
        directions.append(info_nce(similarity, positive, temperature, used))
    return mean_of(directions)


def _key_masks(found: _Matches, keys: str) -> tuple[Tensor, Tensor]:
    """Return which keys are positives of each query, and which it uses at all, (M, K) bool."""
    other_set = found.label[:, None] != found.label
    same_group = (found.group[:, None] == found.group) & (found.group >= 0) & other_set
    itself = torch.eye(len(found.label), dtype=torch.bool, device=found.label.device)
    positive, used = itself | same_group, itself | other_set
    if keys == "both_views":
        positive, used = torch.cat([positive, same_group], 1), torch.cat([used, other_set], 1)
    return positive, used


def _set_means(cells: Tensor, found: _Matches) -> Tensor:
    """Return (U,C) means of the features (cells,C) over the pixels of each projection."""
    runs = torch.bincount(found.owner, minlength=len(found.size))
    weight = found.count.to(cells.dtype) / found.size[found.owner]
    return F.embedding_bag(
        found.cell, cells, runs.cumsum(0) - runs, mode="sum", per_sample_weights=weight
    )


def _random_pixels(
    cells: Tensor, found: _Matches, projection: Tensor, generator: Generator | None
) -> Tensor:
    """Return the features of one random pixel of each `projection`, uniform over its pixels."""
    device = generator.device if generator else "cpu"
    draw = torch.rand(len(projection), generator=generator, device=device, dtype=torch.float64)
    size = found.size[projection]
    pixel = (found.size.cumsum(0) - found.size)[projection] + (draw.to(size.device) * size).long()
    run = torch.searchsorted(found.count.cumsum(0), pixel, right=True)
    return cells.index_select(0, found.cell[run])


def _find_matches(
    set_ids: Tensor,
    view_pairs: Tensor,
    feature_size: tuple[int, int],
    min_pixels: int,
    group_ids: Tensor | None,
) -> _Matches:
    views = len(set_ids)
    pixel, cell, count = _runs(set_ids, feature_size)
    sets, label = set_ids.flatten()[pixel].unique(return_inverse=True)
    projection = cell // feature_size.numel() * len(sets) + label
    size = count.new_zeros(views * len(sets)).index_add(0, projection, count)

    visible = (size >= min_pixels).view(views, len(sets))
    first, second = view_pairs.unbind(1)
    pair, matched = (visible[first] & visible[second]).nonzero(as_tuple=True)
    ends = torch.stack([first[pair], second[pair]]) * len(sets) + matched

    needed, ends = ends.unique(return_inverse=True)
    owner = torch.full_like(size, -1)
    owner[needed] = torch.arange(len(needed), device=size.device)
    owner = owner[projection]
    order = owner.argsort(stable=True)[(owner < 0).sum() :]
    return _Matches(
        ends=ends,
        label=matched,
        group=_group_of_sets(sets, label, pixel, group_ids)[matched],
        size=size[needed],
        cell=cell[order],
        count=count[order],
        owner=owner[order],
    )


def _runs(set_ids: Tensor, feature_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Group the labelled pixels by set and feature cell.

    Sums over pixels become short sums over these runs: features are never copied to H x W.

    Returns (R,) index of a pixel in `set_ids`, (R,) cell in (V,h,w), (R,) pixels of the run.
    """
    (views, height, width), (h, w) = set_ids.shape, feature_size
    device = set_ids.device
    row = torch.arange(height, device=device) * h // height
    column = torch.arange(width, device=device) * w // width
    cell, order = (row[:, None] * w + column).flatten().sort(stable=True)
    view = torch.arange(views, device=device)[:, None]
    cell = (view * (h * w) + cell).flatten()
    pixel = (view * (height * width) + order).flatten()
    ids = set_ids.flatten()[pixel]

    starts = torch.ones_like(ids, dtype=torch.bool)
    starts[1:] = (ids[1:] != ids[:-1]) | (cell[1:] != cell[:-1])
    start = starts.nonzero().squeeze(1)
    count = start.diff(append=start.new_tensor([len(ids)]))
    labelled = ids[start] >= 0
    start, count = start[labelled], count[labelled]
    return pixel[start], cell[start], count


def _group_of_sets(sets: Tensor, label: Tensor, pixel: Tensor, group_ids: Tensor | None) -> Tensor:
    """Return the (S,) group of each set; `label` is the set of each of some pixels."""
    group = torch.full_like(sets, -1, dtype=torch.int64)
    if group_ids is None:
        return group
    seen = group_ids.flatten()[pixel].to(torch.int64)
    group[label] = seen
    mixed = label[group[label] != seen]
    if len(mixed):
        raise GeosetError(
            f"group_ids: set {sets[mixed[0]].item()} has pixels of several groups; expected one "
            "group a set: look the group up from the set, not from the pixel"
        )
    return group


def _check_options(temperature: float, min_pixels: int, aggregation: str, keys: str) -> None:
    check_temperature(temperature)
    for name, value, offered in (("aggregation", aggregation, AGGREGATIONS), ("keys", keys, KEYS)):
        if value not in offered:
            raise GeosetError(f"{name}='{value}' is unknown; choose one of: {', '.join(offered)}")
    if min_pixels < 1:
        raise GeosetError(f"min_pixels={min_pixels}: expected at least 1")


def _check_maps(views: int, set_ids: Tensor, group_ids: Tensor | None) -> None:
    if set_ids.ndim != 3 or len(set_ids) != views or set_ids.is_floating_point():
        raise GeosetError(
            f"set_ids is {tuple(set_ids.shape)} {set_ids.dtype}; expected ({views},H,W) integers, "
            "one map for each view of the features"
        )
    if group_ids is None:
        return
    if group_ids.shape != set_ids.shape or group_ids.is_floating_point():
        raise GeosetError(
            f"group_ids is {tuple(group_ids.shape)} {group_ids.dtype}; expected integers shaped "
            f"like set_ids, {tuple(set_ids.shape)}"
        )
