"""Which sets the views of a batch share, and which pixels and feature cells they cover."""

from typing import NamedTuple

import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.losses.info_nce import check_pairs

PIECE = 64  # runs; whole walls are summed piece by piece, for a device to share the work


class SetMatches(NamedTuple):
    """The M matches of a batch, and the pixels of the U projections that they need.

    A projection is what one view sees of one set. Its pixels come as runs, pixels that share a
    feature cell, so that sums over pixels are short sums over the R runs. Successive runs of one
    projection are a piece, B in all.

    ends: (2,M) projection, 0..U-1, of each match in its first and in its second view
    set_id: (M,) of the data set; group: (M,) group of the set, -1 = none; pair: (M,) index
    size: (U,) pixels of each projection
    owner, cell, count: (R,) projection, cell in (V,h,w) and pixels of each run, in order of cells
    cell_start: (V*h*w,) first run of each cell
    piece_start: (B,) first run of each piece
    piece_order: (B,) pieces in order of projections; projection_start: (U,) first in that order
    """

    ends: Tensor
    set_id: Tensor
    group: Tensor
    pair: Tensor
    size: Tensor
    owner: Tensor
    cell: Tensor
    count: Tensor
    cell_start: Tensor
    piece_start: Tensor
    piece_order: Tensor
    projection_start: Tensor


def find_set_matches(
    set_ids: Tensor,
    view_pairs: Tensor,
    feature_size: tuple[int, int],
    *,
    min_pixels: int = 1,
    group_ids: Tensor | None = None,
) -> SetMatches:
    """Find the sets that both views of a pair see: what `matched_set_loss` asks of the set maps.

    Sizes depend on the maps, so a GPU would be waited for: run it on a CPU, in the data loader.

    set_ids: (V,H,W) integers, unique over the data set, -1 = none
    view_pairs: (P,2) indices of views
    feature_size: (h, w) of the feature maps; pixel (y, x) takes the feature of cell
        (y*h//H, x*w//W)
    min_pixels: of a set in each of both views, counted in H x W, for it to match there
    group_ids: (V,H,W) integers, one group a set, -1 = none

    Raises:
        GeosetError: an argument is of another shape, `min_pixels` is not positive, or a set has
            pixels of several groups.
    """
    _check_maps(set_ids, group_ids)
    view_pairs = check_pairs(view_pairs, set_ids)
    if min_pixels < 1:
        raise GeosetError(f"min_pixels={min_pixels}: expected at least 1")
    views = len(set_ids)
    cell, pixel, set_id, count = _runs(set_ids, feature_size)
    # Most neighbours are of one set: two steps are faster than one `unique`.
    heads, head = set_id.unique_consecutive(return_inverse=True)
    sets, label = heads.unique(return_inverse=True)
    label = label.index_select(0, head)
    projection = cell // (feature_size[0] * feature_size[1]) * len(sets) + label
    size = count.new_zeros(views * len(sets)).index_add_(0, projection, count)

    visible = (size >= min_pixels).view(views, len(sets))
    first, second = view_pairs.unbind(1)
    pair, matched = (visible[first] & visible[second]).nonzero(as_tuple=True)
    ends = torch.stack([first[pair], second[pair]]) * len(sets) + matched
    needed, ends = ends.unique(return_inverse=True)
    owner = torch.full_like(size, -1)
    owner[needed] = torch.arange(len(needed), dtype=owner.dtype, device=owner.device)
    owner = owner.index_select(0, projection)
    used = (owner >= 0).nonzero().squeeze(1)
    owner, cell = owner.index_select(0, used), cell.index_select(0, used)
    return SetMatches(
        ends,
        sets[matched],
        _group_of_sets(sets, label, pixel, group_ids)[matched],
        pair,
        size[needed],
        owner,
        cell,
        count.index_select(0, used),
        _starts(cell, views * feature_size[0] * feature_size[1]),
        *_pieces(owner, len(needed)),
    )


def _runs(set_ids: Tensor, feature_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Group the labelled pixels by feature cell and set.

    Returns (R,) cell in (V,h,w), index of a pixel in (V,H,W), set id, and number of pixels.
    """
    (height, width), (h, w) = set_ids.shape[1:], feature_size
    device = set_ids.device
    row = torch.arange(height, device=device) * h // height
    column = torch.arange(width, device=device) * w // width
    cell, order = (row[:, None] * w + column).flatten().sort(stable=True)
    cell, order = cell.int(), order.int()
    enters_cell = torch.ones_like(cell, dtype=torch.bool)
    enters_cell[1:] = cell[1:] != cell[:-1]

    runs = []
    for view, ids in enumerate(set_ids.flatten(1)):  # one after another they stay in the cache
        ids = ids.index_select(0, order)
        starts = enters_cell.clone()
        starts[1:] |= ids[1:] != ids[:-1]
        start = starts.nonzero().squeeze(1).int()
        count = start.diff(append=start.new_tensor([len(ids)]))
        labelled = (ids.index_select(0, start) >= 0).nonzero().squeeze(1)
        start = start.index_select(0, labelled)
        runs.append(
            (
                cell.index_select(0, start) + view * h * w,
                order.index_select(0, start) + view * height * width,
                ids.index_select(0, start),
                count.index_select(0, labelled),
            )
        )
    return tuple(torch.cat(part) for part in zip(*runs, strict=True))


def _pieces(owner: Tensor, projections: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first run of each piece, the order by projection, and each one's start there."""
    starts = torch.ones_like(owner, dtype=torch.bool)
    starts[1:] = owner[1:] != owner[:-1]
    starts[::PIECE] = True
    piece_start = starts.nonzero().squeeze(1).int()
    piece_owner, order = owner.index_select(0, piece_start).sort(stable=True)
    return piece_start, order.int(), _starts(piece_owner, projections)


def _starts(value: Tensor, number: int) -> Tensor:
    """Return where each of 0..number-1 begins in `value`, which is sorted."""
    count = torch.bincount(value, minlength=number)
    return (count.cumsum(0) - count).int()


def _group_of_sets(sets: Tensor, label: Tensor, pixel: Tensor, group_ids: Tensor | None) -> Tensor:
    """Return the (S,) group of each set; `label` is the set of each of some pixels."""
    group = torch.full_like(sets, -1, dtype=torch.int64)
    if group_ids is None:
        return group
    seen = group_ids.flatten().index_select(0, pixel).to(torch.int64)
    group[label] = seen
    mixed = label[group[label] != seen]
    if len(mixed):
        raise GeosetError(
            f"group_ids: set {sets[mixed[0]].item()} has pixels of several groups; expected one "
            "group a set: look the group up from the set, not from the pixel"
        )
    return group


def _check_maps(set_ids: Tensor, group_ids: Tensor | None) -> None:
    if set_ids.ndim != 3 or set_ids.is_floating_point():
        raise GeosetError(
            f"set_ids is {tuple(set_ids.shape)} {set_ids.dtype}; expected (V,H,W) integers, one "
            "map a view"
        )
    if group_ids is None:
        return
    if group_ids.shape != set_ids.shape or group_ids.is_floating_point():
        raise GeosetError(
            f"group_ids is {tuple(group_ids.shape)} {group_ids.dtype}; expected integers shaped "
            f"like set_ids, {tuple(set_ids.shape)}"
        )
