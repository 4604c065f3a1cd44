"""How often the nearest feature in another view lies where the same point really is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ANGLES = (0, 15, 30, 60, 180)
"""Degrees, borders of the bins of viewing angles; the last one is inside."""
PIXELS = (5, 10, 20)
"""Distances up to which a match is right."""
BLOCK = 2**24  # similarities held at a time


def features_at(features: Tensor, pixels: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return (N,C) the features (C,h,w) of the cells that hold `pixels` (N,2), (x, y).

    image_size: (H, W), what the pixels count; pixel (y, x) takes cell (y*h//H, x*w//W)
    """
    (height, width), (h, w) = image_size, features.shape[1:]
    x, y = pixels.long().to(features.device).unbind(1)
    return features[:, y * h // height, x * w // width].T


def nearest_pixels(queries: Tensor, features: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return (N,2) centres (x, y) of the cells whose features are most like `queries` (N,C).

    The cosine similarity with every cell of `features` (C,h,w) decides, in float32.
    image_size: (H, W), whose pixels the result counts
    """
    (height, width), (h, w) = image_size, features.shape[1:]
    cells = F.normalize(features.flatten(1).float(), dim=0)
    # The length of a query does not change which cell is nearest.
    parts = queries.float().split(max(1, BLOCK // (h * w)))
    nearest = torch.cat([(part @ cells).argmax(dim=1) for part in parts])
    x, y = (nearest % w + 0.5) * width / w, (nearest // w + 0.5) * height / h
    return torch.stack([x, y], dim=1)


def viewing_angles(points: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return (N,) the degrees between the directions from `points` (N,3) to two cameras.

    first, second: (3,) centres of the cameras, in the coordinates of the points
    """
    a, b = first - points, second - points
    # Unlike the arc cosine, exact also for small angles.
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(dim=1)).rad2deg()


@dataclass(frozen=True)
class Recall:
    """Shares of matches that were found; rows are the bins of ANGLES, and last all together.

    share: (bins + 1, len(PIXELS)), NaN where there is no match
    matches, pairs: (bins + 1,) how many there are, and of how many pairs of views
    """

    share: Tensor
    matches: Tensor
    pairs: Tensor


def recall(errors: Tensor, angles: Tensor, pair: Tensor) -> Recall:
    """Count matches found within each of PIXELS by the bins of ANGLES.

    errors: (N,) pixels between what was found and where the point is
    angles: (N,) degrees, see `viewing_angles`
    pair: (N,) the pair of views that each match is of
    """
    inner = torch.tensor(ANGLES[1:-1], dtype=angles.dtype)
    bins = torch.bucketize(angles, inner, right=True)
    rows = [bins == index for index in range(len(ANGLES) - 1)] + [torch.ones_like(bins).bool()]
    found = errors[:, None] <= torch.tensor(PIXELS, dtype=errors.dtype)
    return Recall(
        share=torch.stack([found[row].double().mean(dim=0) for row in rows]),
        matches=torch.stack([row.sum() for row in rows]),
        pairs=torch.tensor([len(pair[row].unique()) for row in rows]),
    )
