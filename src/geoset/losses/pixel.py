"""The pixel loss between two views (Eq. 1-2; Pri3D's View term) and the matches it needs."""

from typing import NamedTuple

import torch
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


class PixelMatches(NamedTuple):
    """N sampled matches of each pair that has any; Q of the P pairs do.

    source: (Q,N,2) float, (x, y) of pixel centres in the first view
    target: (Q,N,2) float, (x, y) in the second view where the same points land, exact
    pair: (Q,) index into the P pairs
    available: (P,) matches that there are to sample from, 0 for pairs left out
    """

    source: Tensor
    target: Tensor
    pair: Tensor
    available: Tensor


class ViewLoss(NamedTuple):
    """The pixel loss of a batch; every tensor is a scalar.

    loss: connected to the graph, and zero if no pair has a match
    pairs, empty_pairs: pairs that have matches, and those that have none and count for nothing
    chance: the loss of a network that knows nothing, the log of the number of samples
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
    """

    loss: Tensor
    pairs: int
    empty_pairs: int
    chance: Tensor
    positive: Tensor
    negative: Tensor


def pixel_info_nce(a: Tensor, b: Tensor, temperature: float = 0.4) -> Tensor:
    """Return the pixel InfoNCE (Eq. 1-2) of features a (N,C) and b (N,C), a scalar.

    Row i of `a` matches row i of `b`; all other rows of the other side are negatives. Features
    are L2-normalised here; mean of both directions. No rows give a zero that is connected.

    Raises:
        GeosetError: the shapes differ or are not (N,C), or the temperature is not positive.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise GeosetError(
            f"a is {tuple(a.shape)}, b is {tuple(b.shape)}; expected (N,C) both, row i of a "
            "matching row i of b"
        )
    check_temperature(temperature)
    if not len(a):
        return nothing_to_learn(a).loss + nothing_to_learn(b).loss
    return _both_directions(a[None], b[None], temperature).loss


def view_loss(
    features: Tensor,
    matches: PixelMatches,
    image_size: tuple[int, int],
    view_pairs: Tensor,
    temperature: float = 0.4,
) -> ViewLoss:
    """Return the View term of Pri3D: pixel InfoNCE within each pair, mean over the pairs.

    features: (V,C,h,w) of V views
    matches: from `match_pixels`, for the same `view_pairs` (P,2)
    image_size: (H, W) of the depth maps they were found in; pixel (y, x) takes the feature of
        cell (y*h//H, x*w//W), and so does the pixel that a match lands in

    Half precision is computed in float32.

    Raises:
        GeosetError: an argument is of another shape, or the temperature is not positive.
    """
    cells = cell_features(features)
    view_pairs = check_pairs(view_pairs, features)
    check_temperature(temperature)
    pairs, samples = matches.source.shape[:2]
    if not pairs:
        terms = nothing_to_learn(cells)
    else:
        a, b = (
            cells.index_select(0, cell.flatten()).unflatten(0, (pairs, samples))
            for cell in (
                _cells(matches.source, view_pairs[matches.pair, 0], features, image_size),
                _cells(matches.target, view_pairs[matches.pair, 1], features, image_size),
            )
        )
        terms = _both_directions(a, b, temperature)
    empty_pairs = len(matches.available) - pairs
    return ViewLoss(terms.loss, pairs, empty_pairs, terms.chance, terms.positive, terms.negative)


def match_pixels(
    depth: Tensor,
    K: Tensor,
    world_from_camera: Tensor,
    view_pairs: Tensor,
    *,
    samples: int = 1024,
    tolerance: float = 0.05,
    generator: Generator | None = None,
) -> PixelMatches:
    """Sample pixels of the first view of each pair that the second sees too (Pri3D's rule).

    A pixel's centre is unprojected with its depth, moved to the second camera and projected. It
    matches if it lands inside the image, in front of the camera, on a pixel with valid depth that
    differs from its own there by less than `tolerance`.

    depth: (V,H,W) metres, 0 = none
    K: (V,3,3) in pixels of the depth maps, whose centres are at +0.5
    world_from_camera: (V,4,4), float64 if far from the origin
    view_pairs: (P,2) indices of views
    samples: a pair, uniform over its matches; with replacement if it has fewer
    tolerance: metres

    Raises:
        GeosetError: an argument is of another shape, or `samples` or `tolerance` not positive.
    """
    _check_views(depth, K, world_from_camera, samples, tolerance)
    view_pairs = check_pairs(view_pairs, depth)
    first, second = view_pairs.unbind(1)
    height, width = depth.shape[1:]
    # Poses may be far from the origin: only their difference is small enough for float32.
    K, pose = K.double(), world_from_camera[:, :3].double()
    between = torch.cat([pose[first, :, :3], pose[first, :, 3:] - pose[second, :, 3:]], dim=-1)
    second_from_first = torch.linalg.solve(pose[second, :, :3], between)
    projected = K[second] @ second_from_first
    M = (projected[..., :3] @ torch.linalg.inv(K[first])).to(depth.dtype)
    centre = _pixel_centres(height, width, depth)
    depth_first = depth[first].flatten(1)
    # No matrix product: autocast or TF32 would round pixels away.
    direction = M[..., :1] * centre[:, 0] + M[..., 1:2] * centre[:, 1] + M[..., 2:]
    landing = direction * depth_first[:, None] + projected[..., 3:].to(depth.dtype)

    z = landing[:, 2]
    x, y = landing[:, 0] / z, landing[:, 1] / z
    inside = (depth_first > 0) & (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixel = y.where(inside, 0).long() * width + x.where(inside, 0).long()
    depth_there = depth[second].flatten(1).gather(1, pixel)
    matched = inside & (depth_there > 0) & ((z - depth_there).abs() < tolerance)

    available = matched.sum(1)
    pair = available.nonzero().squeeze(1)
    chosen = _sample(matched[pair], available[pair], samples, generator)
    target = torch.stack([x[pair].gather(1, chosen), y[pair].gather(1, chosen)], dim=-1)
    return PixelMatches(centre[chosen], target, pair, available)


def _both_directions(a: Tensor, b: Tensor, temperature: float) -> InfoNCE:
    """Contrast (P,N,C) with (P,N,C) within each of the P pairs."""
    with torch.autocast(a.device.type, enabled=False):
        similarity = unit_features(a) @ unit_features(b).mT
        itself = torch.eye(a.shape[1], dtype=torch.bool, device=a.device)
        return mean_of([info_nce(s, itself, temperature) for s in (similarity, similarity.mT)])


def _cells(points: Tensor, view: Tensor, features: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the cells, in (V,h,w), of the pixels that hold `points` (Q,N,2) of views (Q,)."""
    (h, w), (height, width) = features.shape[-2:], image_size
    x, y = points.long().unbind(-1)
    return (view[:, None] * h + y * h // height) * w + x * w // width


def _pixel_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Return (H*W,2) pixel centres (x, y), row by row."""
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def _sample(
    matched: Tensor, available: Tensor, samples: int, generator: Generator | None
) -> Tensor:
    """Return (Q,samples) indices of true entries in each row of `matched` (Q,N)."""
    device = generator.device if generator else "cpu"
    score = torch.rand(matched.shape, generator=generator, device=device).to(matched.device)
    shuffled = score.where(matched, -1).topk(min(samples, matched.shape[1])).indices
    draw = torch.rand(len(matched), samples, generator=generator, device=device)
    again = (draw.to(matched.device, torch.float64) * available[:, None]).long()
    in_turn = torch.arange(samples, device=matched.device)
    return shuffled.gather(1, torch.where(available[:, None] < samples, again, in_turn))


def _check_views(
    depth: Tensor, K: Tensor, world_from_camera: Tensor, samples: int, tolerance: float
) -> None:
    if depth.ndim != 3:
        raise GeosetError(f"depth is {tuple(depth.shape)}; expected (V,H,W), one map a view")
    for name, given, expected in (
        ("K", K, (len(depth), 3, 3)),
        ("world_from_camera", world_from_camera, (len(depth), 4, 4)),
    ):
        if given.shape != expected:
            raise GeosetError(f"{name} is {tuple(given.shape)}; expected {expected}, one a view")
    if samples < 1:
        raise GeosetError(f"samples={samples}: expected at least 1; 1024 is usual")
    if not tolerance > 0:
        raise GeosetError(
            f"tolerance={tolerance}: expected a positive number of metres; 0.05 is usual"
        )
