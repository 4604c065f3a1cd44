"""Pictures of where networks find points of one view in another, and where these truly are."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geoset.reports.figures import TILE_WIDTH

DOT, RING = 4, 7  # radius in pixels
RIM = (255, 255, 255)


def draw_found(image: np.ndarray, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Draw a dot where each of N points was found, a ring where it is, and a line between them.

    image: (H,W,3) uint8, enlarged by a whole factor to about TILE_WIDTH; found, true: (N,2) pixels
    (x, y); up to ten points have colours of their own
    """
    from matplotlib import colormaps

    colors = colormaps["tab10"](np.arange(len(found)) % 10, bytes=True)[:, :3]
    factor = max(1, round(TILE_WIDTH / image.shape[1]))
    picture = Image.fromarray(image.repeat(factor, axis=0).repeat(factor, axis=1))
    draw = ImageDraw.Draw(picture)
    for rgb, a, b in zip(colors.tolist(), found * factor, true * factor, strict=True):
        color = tuple(rgb)
        draw.line((*a, *b), color, 2)
        draw.ellipse(_around(b, RING), None, color, 2)
        draw.ellipse(_around(a, DOT), color, RIM)
    return np.asarray(picture)


def _around(center: Sequence[float], radius: int) -> tuple[float, float, float, float]:
    x, y = center
    return x - radius, y - radius, x + radius, y + radius
