"""Pictures of a grouping: what each group holds, a row of sets from different scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_closing, binary_dilation

from geoset.prepare.scene import PreparedScene
from geoset.reports.figures import CAPTION, INK, MARGIN, PAPER

TILE = (126, 168)  # height and width of a picture of a set
CONTEXT = 1.7  # size of what is shown against the size of the set
LEAST_SHOWN = 0.6  # of the frame's height or width, so that small sets keep their surroundings
DIM = 0.6  # brightness of what is not in the set
OUTLINE = (255, 60, 200)  # a colour that rooms do not have
CLEAR = 60  # pixels from which a set can be recognised in a frame of 96x128, and in proportion


@dataclass(frozen=True)
class Example:
    """A set, as one frame of its scene shows it."""

    scene: PreparedScene
    frame: int
    label: int


def group_sheet(rows: Sequence[tuple[str, Sequence[Example]]], layer: str) -> Image.Image:
    """Draw a row for each group: its caption, and below it the sets that stand for it.

    The set is bright and outlined in its surroundings, which are dim and grey.
    """
    height, width = TILE
    columns = max((len(examples) for _, examples in rows), default=0)
    size = columns * (width + MARGIN) + MARGIN, len(rows) * (height + CAPTION + MARGIN) + MARGIN
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number, (caption, examples) in enumerate(rows):
        top = MARGIN + number * (height + CAPTION + MARGIN)
        draw.text((MARGIN, top), caption, INK, font)
        for column, example in enumerate(examples):
            left = MARGIN + column * (width + MARGIN)
            sheet.paste(draw_set(example, layer), (left, top + CAPTION))
    return sheet


def draw_set(example: Example, layer: str) -> Image.Image:
    """Show a set in the part of a frame around it, as a picture of TILE."""
    image = example.scene.image(example.frame)
    set_map = example.scene.set_map(example.frame, layer)
    inside = set_map == example.label
    box = surroundings(inside)
    # Single pixels without a set would each get an outline of their own.
    inside |= binary_closing(inside, iterations=2) & (set_map < 0)
    height, width = TILE
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    mask = Image.fromarray(inside).resize((width, height), Image.Resampling.NEAREST, box=box)
    pixels, inside = np.asarray(picture).astype(np.float64), np.asarray(mask)
    grey = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) * DIM
    shown = np.where(inside[..., None], pixels, grey)
    shown[binary_dilation(inside, iterations=2) & ~inside] = OUTLINE
    return Image.fromarray(np.round(shown).astype(np.uint8))


def surroundings(inside: np.ndarray) -> tuple[float, float, float, float]:
    """Return the window (left, top, right, bottom) around the True pixels of a mask (H,W).

    It has the aspect of TILE, as far as the frame reaches, and lies inside of it.
    """
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    H, W = inside.shape
    aspect = TILE[1] / TILE[0]
    height = max(
        CONTEXT * (rows[-1] + 1 - rows[0]),
        CONTEXT * (columns[-1] + 1 - columns[0]) / aspect,
        LEAST_SHOWN * H,
    )
    height = min(height, H, W / aspect)
    width = height * aspect
    left = np.clip((columns[0] + columns[-1] + 1 - width) / 2, 0, W - width)
    top = np.clip((rows[0] + rows[-1] + 1 - height) / 2, 0, H - height)
    return float(left), float(top), float(left + width), float(top + height)


def choose_examples(
    candidates: Sequence[np.ndarray], count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw up to `count` sets, from as many scenes as there are: (scene, label) of each.

    candidates: for each scene the labels to draw from
    """
    shuffled = [rng.permutation(labels) for labels in candidates]
    turns = sorted(
        (turn, place, scene)
        for place, scene in enumerate(rng.permutation(len(candidates)))
        for turn in range(min(count, len(shuffled[scene])))
    )
    return [(int(scene), int(shuffled[scene][turn])) for turn, _, scene in turns[:count]]
