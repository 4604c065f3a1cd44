"""Pictures of features of two views: what matches what, and how alike it is."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

RIGHT, WRONG, MARK = (60, 200, 80), (230, 50, 40), (255, 255, 255)
WIDTH = 256  # pixels, about, that each view is enlarged to
GAP = 6  # pixels between two views
DOT = 3  # radius in pixels
COLORS = "turbo"


def draw_matches(
    first: np.ndarray,
    second: np.ndarray,
    source: np.ndarray,
    found: np.ndarray,
    right: np.ndarray,
) -> np.ndarray:
    """Join pixels of one view with those found in another: right ones green, wrong ones red.

    first, second: (H,W,3) uint8, drawn side by side, enlarged by a whole factor
    source, found: (N,2) pixels (x, y) of the first and of the second; right: (N,) bool
    """
    factor = max(1, round(WIDTH / first.shape[1]))
    gap = np.full((len(first) * factor, GAP, 3), 255, np.uint8)
    views = [view.repeat(factor, axis=0).repeat(factor, axis=1) for view in (first, second)]
    picture = Image.fromarray(np.hstack([views[0], gap, views[1]]))
    draw = ImageDraw.Draw(picture)
    offset = first.shape[1] * factor + GAP, 0
    # Right ones last: they would vanish below the many wrong ones of a poor network.
    for k in np.argsort(right, kind="stable"):
        color = RIGHT if right[k] else WRONG
        a = tuple(np.asarray(source[k]) * factor)
        b = tuple(np.asarray(found[k]) * factor + offset)
        draw.line((a, b), color, 1)
        for x, y in (a, b):
            draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), color)
    return np.asarray(picture)


def similarity_row(
    images: Sequence[np.ndarray], features: Sequence[np.ndarray], pixel: tuple[float, float]
) -> list[tuple[str, np.ndarray]]:
    """Show how alike a pixel of the first view is to all cells of both, captioned, for `tile`.

    images: two (H,W,3) uint8; features: theirs, (C,h,w); pixel: (x, y), a cross in the first view;
    the cross in the second is at the most similar cell. One scale for both maps: blue is the least
    similarity that occurs, red is 1.
    """
    from matplotlib import colormaps

    maps = similarity_maps(features, pixel, images[0].shape[:2])
    low = min(float(each.min()) for each in maps)
    height, width = images[1].shape[:2]
    y, x = np.unravel_index(maps[1].argmax(), maps[1].shape)
    best = (x + 0.5) * width / maps[1].shape[1], (y + 0.5) * height / maps[1].shape[0]
    row = []
    for image, each, mark, text in zip(
        images, maps, (pixel, best), ("the pixel", "the most similar"), strict=True
    ):
        scaled = (each - low) / max(1 - low, 1e-6)
        colors = Image.fromarray(colormaps[COLORS](scaled, bytes=True)[..., :3])
        colors = colors.resize(image.shape[1::-1], Image.Resampling.NEAREST)
        row.append((text, _cross(image, mark)))
        row.append((f"cosine similarity, {low:.2f} to 1", _cross(np.asarray(colors), mark)))
    return row


def similarity_maps(
    features: Sequence[np.ndarray], pixel: tuple[float, float], image_size: tuple[int, int]
) -> list[np.ndarray]:
    """Return (h,w) the cosine similarity of each map's cells with a pixel of the first.

    features: (C,h,w) each; pixel: (x, y) of an image of `image_size` (H,W), which takes the
    feature of cell (y*h//H, x*w//W)
    """
    (height, width), (h, w) = image_size, features[0].shape[1:]
    unit = [f / np.maximum(np.linalg.norm(f, axis=0), 1e-12) for f in features]
    query = unit[0][:, int(pixel[1]) * h // height, int(pixel[0]) * w // width]
    return [np.tensordot(query, each, axes=1) for each in unit]


def _cross(image: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Mark a pixel by a white cross with a dark rim."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    x, y = pixel
    arm = max(3, image.shape[1] // 40)
    for color, thickness in (((0, 0, 0), 3), (MARK, 1)):
        draw.line((x - arm, y, x + arm, y), color, thickness)
        draw.line((x, y - arm, x, y + arm), color, thickness)
    return np.asarray(picture)
