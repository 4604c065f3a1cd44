"""The pixel loss between two views (Eq. 1-2; Pri3D's View term) and the matches it needs."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from geoset.errors import GeosetError
from geoset.losses.info_nce import (
    at_least_float32,
    cell_features,
    check_pairs,
    take_rows,
)
from geoset.losses.within import contrast_within


class PixelMatches(NamedTuple):
    """N sampled matches of each of P pairs.

    source: (P,N,2) float, (x, y) of pixel centres in the first view
    target: (P,N,2) float, (x, y) in the second view where the same points land, exact
    available: (P,) matches that there are to sample from; where 0, the rest means nothing
    """

    source: Tensor
    target: Tensor
    available: Tensor


class ViewLoss(NamedTuple):
    """The pixel loss of a batch; every value is a scalar tensor.

    loss: connected to the graph, and zero if no pair has a match
    pairs, empty_pairs: pairs of this process that have matches, and those that have none and
        count for nothing
    chance: the loss of a network that knows nothing, the log of the number of samples
    positive, negative: mean dot product with positives and with negatives, detached; 0 if none
    """

    loss: Tensor
    pairs: Tensor
    empty_pairs: Tensor
    chance: Tensor
    positive: Tensor
    negative: Tensor


def pixel_info_nce(a: Tensor, b: Tensor, temperature: float = 0.4) -> Tensor:
    """Return the pixel InfoNCE (Eq. 1-2) of features a (N,C) and b (N,C), a scalar.

    Row i of `a` matches row i of `b`; all other rows of the other side are negatives. Features
    are L2-normalised here; mean of both directions. No rows give a zero that is connected.

    Raises:
        GeosetError: the shapes differ or are not (N,C), or the temperature is under 0.025.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise GeosetError(
            f"a is {tuple(a.shape)}, b is {tuple(b.shape)}; expected (N,C) both, row i of a "
            "matching row i of b"
        )
    if not len(a):
        return at_least_float32(a).sum() + at_least_float32(b).sum()
    used = torch.ones(1, len(a), dtype=torch.bool, device=a.device)
    return contrast_within(a[None], b[None], used, temperature, across_ranks=False).loss


def view_loss(
    features: Tensor,
    matches: PixelMatches,
    image_size: tuple[int, int],
    view_pairs: Tensor,
    temperature: float = 0.4,
    *,
    across_ranks: bool = False,
) -> ViewLoss:
    """Return the View term of Pri3D: pixel InfoNCE within each pair, mean over pairs with matches.

    Waits for no device.

    features: (V,C,h,w) of V views
    matches: from `match_pixels`, for the same `view_pairs` (P,2)
    image_size: (H, W) of the depth maps they were found in; pixel (y, x) takes the feature of
        cell (y*h//H, x*w//W), and so does the pixel that a match lands in
    across_ranks: the pairs are those of all processes: the mean over them of each value is that of
        one process with all pairs, and so are gradients that are averaged as DDP does

    Half precision is computed in float32.

    Raises:
        GeosetError: an argument is of another shape, or the temperature is under 0.025.
    """
    cells = cell_features(features)
    view_pairs = check_pairs(view_pairs, features)
    if len(matches.available) != len(view_pairs):
        raise GeosetError(
            f"matches are of {len(matches.available)} pairs, view_pairs has {len(view_pairs)}; "
            "expected those that they were found for"
        )
    points = torch.stack([matches.source, matches.target])
    # Both views at once: the gradient of a look-up is as large as all features.
    a, b = take_rows(cells, _cells(points, view_pairs.mT, features, image_size))
    matched = matches.available > 0
    used = matched[:, None].expand(a.shape[:2])
    terms = contrast_within(a, b, used, temperature, across_ranks)
    return ViewLoss(
        terms.loss, matched.sum(), (~matched).sum(), terms.chance, terms.positive, terms.negative
    )


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

    Waits for no device; indices in `view_pairs` are checked on a CPU only.

    depth: (V,H,W) metres, 0 = none
    K: (V,3,3) in pixels of the depth maps, whose centres are at +0.5
    world_from_camera: (V,4,4), float64 if far from the origin
    view_pairs: (P,2) indices of views
    samples: a pair, uniform over its matches; with replacement if it has fewer
    tolerance: metres
    generator: draws the samples, on its own device; None: torch's, of the device of the depth

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
    projected = K[second] @ _inverse(pose[second, :, :3]) @ between
    M = (projected[..., :3] @ _inverse(K[first])).to(depth.dtype)
    centre = _pixel_centres(height, width, depth)
    depth_first = depth[first].flatten(1)
    # No matrix product: autocast or TF32 would round pixels away.
    direction = M[..., :1] * centre[:, 0] + M[..., 1:2] * centre[:, 1] + M[..., 2:]
    landing = direction * depth_first[:, None] + projected[..., 3:].to(depth.dtype)

    z = landing[:, 2]
    x, y = landing[:, 0] / z, landing[:, 1] / z
    inside = (depth_first > 0) & (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x.where(inside, 0), y.where(inside, 0)
    depth_there = depth[second].flatten(1).gather(1, y.long() * width + x.long())
    matched = inside & (depth_there > 0) & ((z - depth_there).abs() < tolerance)

    available = matched.sum(1)
    chosen = _sample(matched, available, samples, generator)
    target = torch.stack([x.gather(1, chosen), y.gather(1, chosen)], dim=-1)
    return PixelMatches(centre[chosen], target, available)


def _cells(points: Tensor, view: Tensor, features: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the cells, in (V,h,w), of the pixels that hold `points` (...,N,2) of views (...)."""
    (h, w), (height, width) = features.shape[-2:], image_size
    x, y = points.long().unbind(-1)
    return (view[..., None] * h + y * h // height) * w + x * w // width


def _pixel_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Return (H*W,2) pixel centres (x, y), row by row."""
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def _inverse(matrix: Tensor) -> Tensor:
    """Invert (...,3,3) in closed form: solvers wait for the device to tell of singular ones."""
    a, b, c = matrix.unbind(-1)
    rows = torch.stack([b.cross(c, dim=-1), c.cross(a, dim=-1), a.cross(b, dim=-1)], dim=-2)
    return rows / (a * rows[..., 0, :]).sum(-1)[..., None, None]


def _sample(
    matched: Tensor, available: Tensor, samples: int, generator: Generator | None
) -> Tensor:
    """Return (P,samples) indices of true entries in each row of `matched` (P,N) that has any."""
    device = generator.device if generator else matched.device
    score = torch.rand(matched.shape, generator=generator, device=device)
    draw = torch.rand(len(matched), samples, generator=generator, device=device)
    score, draw = (drawn.to(matched.device, non_blocking=True) for drawn in (score, draw))
    shuffled = score.where(matched, -1).topk(min(samples, matched.shape[1])).indices
    again = (draw.double() * available[:, None]).long()
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
