"""Pictures of what networks predict: classes of pixels (Fig. 4), boxes and masks of things."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from geoset.reports.class_colors import class_colors, draw_legend, paint_labels
from geoset.reports.figures import INK, PAPER, tile

MASK_OPACITY = 0.5
SMALLEST = 480  # pixels: narrower images are enlarged, so that names can be read


def segmentation_sheet(
    images: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    methods: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
) -> Image.Image:
    """Draw a row for each image: itself, its ground truth, and a column for each method (Fig. 4).

    images: (H,W,3) uint8; truth and each method's: (H,W) class ids, -1 = none, black
    classes: names by id; the legend below shows those that occur
    """
    colors = class_colors(classes)
    columns = {"image": list(images)} | {
        name: [paint_labels(labels, colors) for labels in maps]
        for name, maps in ({"ground truth": truth} | dict(methods)).items()
    }
    rows = [[(name, pictures[i]) for name, pictures in columns.items()] for i in range(len(images))]
    occurring = set().union(*(np.unique(m) for maps in (truth, *methods.values()) for m in maps))
    shown = {classes[k]: colors[k] for k in sorted(occurring - {-1})}
    return with_legend(tile(rows), shown | ({"no label": (0, 0, 0)} if -1 in occurring else {}))


def with_legend(picture: Image.Image, colors: Mapping[str, Sequence[int]]) -> Image.Image:
    """Return the picture with names and their colours (R, G, B) below it."""
    legend = draw_legend(colors, picture.width)
    sheet = Image.new("RGB", (picture.width, picture.height + legend.height), PAPER)
    sheet.paste(picture, (0, 0))
    sheet.paste(legend, (0, picture.height))
    return sheet


def draw_instances(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    boxes: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """Draw K things over an image (H,W,3) uint8: masks tinted and outlined, boxes, names.

    Enlarged by a whole factor to about 480 pixels, if it is narrower. Colours are the classes'.

    labels: (K,) index into `classes`; boxes: (K,4) left, top, right, bottom in pixels, around
        the masks if there are none; masks: (K,H,W) bool; scores: (K,), written behind the names;
        the best are drawn last, on top
    """
    factor = max(1, round(SMALLEST / image.shape[1]))
    canvas = image.repeat(factor, axis=0).repeat(factor, axis=1)
    colors = class_colors(classes)[labels]
    order = np.arange(len(labels)) if scores is None else np.argsort(scores, kind="stable")
    if masks is not None:
        for k in order:
            _tint(canvas, masks[k].repeat(factor, axis=0).repeat(factor, axis=1), colors[k])
        boxes = np.array([_around(mask) for mask in masks]) if boxes is None else boxes
    picture = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    for k in order if boxes is not None else ():
        color = tuple(map(int, colors[k]))
        left, top, right, bottom = np.asarray(boxes[k], dtype=float) * factor
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), None, color, 2)
        text = classes[labels[k]] + ("" if scores is None else f" {scores[k]:.2f}")
        _write(draw, text, (left, top), color, font)
    return np.asarray(picture)


def _tint(canvas: np.ndarray, mask: np.ndarray, color: np.ndarray) -> None:
    canvas[mask] = np.round((1 - MASK_OPACITY) * canvas[mask] + MASK_OPACITY * color)
    canvas[mask & ~binary_erosion(mask)] = color


def _around(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _write(draw: ImageDraw.ImageDraw, text: str, corner, color, font) -> None:
    """Write on a patch of the colour above the corner, or below it at the picture's border."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    width, height = right - left + 6, bottom - top + 5
    x = max(0, min(corner[0], draw.im.size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((x, y, x + width, y + height), color)
    dark = sum(w * c for w, c in zip((0.3, 0.59, 0.11), color, strict=True)) < 120
    draw.text((x + 3 - left, y + 2 - top), text, PAPER if dark else INK, font)
