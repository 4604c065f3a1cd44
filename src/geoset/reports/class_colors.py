"""One colour a class name, the same in every picture, and the legend that says which."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geoset.reports.figures import INK, MARGIN, PAPER

Color = tuple[int, int, int]

KNOWN: dict[str, Color] = {
    # The 20 of ScanNet's benchmark, as its own pictures show them.
    "wall": (174, 199, 232),
    "floor": (152, 223, 138),
    "cabinet": (31, 119, 180),
    "bed": (255, 187, 120),
    "chair": (188, 189, 34),
    "sofa": (140, 86, 75),
    "table": (255, 152, 150),
    "door": (214, 39, 40),
    "window": (197, 176, 213),
    "bookshelf": (148, 103, 189),
    "picture": (196, 156, 148),
    "counter": (23, 190, 207),
    "desk": (247, 182, 210),
    "curtain": (219, 219, 141),
    "refrigerator": (255, 127, 14),
    "showercurtain": (158, 218, 229),
    "toilet": (44, 160, 44),
    "sink": (112, 128, 144),
    "bathtub": (227, 119, 194),
    "otherfurniture": (82, 84, 163),
    # The others of NYUv2 and of rooms: each as far as can be from all above it, in CIELAB.
    "ceiling": (8, 86, 47),
    "lamp": (112, 99, 8),
    "books": (229, 8, 112),
    "television": (138, 34, 86),
    "object": (8, 242, 203),
    "blinds": (164, 8, 151),
    "shelves": (151, 73, 8),
    "dresser": (8, 125, 255),
    "pillow": (125, 151, 112),
    "mirror": (47, 242, 138),
    "floormat": (229, 164, 8),
    "clothes": (21, 164, 112),
    "paper": (229, 125, 255),
    "towel": (138, 164, 255),
    "box": (86, 47, 164),
    "whiteboard": (8, 190, 255),
    "person": (151, 34, 47),
    "nightstand": (125, 86, 125),
    "bag": (164, 242, 99),
    "otherstructure": (255, 125, 86),
}
"""By name in lower case, letters and digits only."""

ALIASES = {
    "painting": "picture",
    "tv": "television",
    "couch": "sofa",
    "fridge": "refrigerator",
    "furniture": "otherfurniture",
    "objects": "object",
    "otherprop": "object",
}
NO_LABEL: Color = (0, 0, 0)
OPACITY = 0.6  # of class colours over an image
SWATCH, LINE, GAP = 12, 18, 14  # pixels, of the legend


def class_colors(names: Sequence[str]) -> np.ndarray:
    """Return (K,3) uint8 colours, no two the same.

    Names of ScanNet's, NYUv2's and the rooms' classes have a colour each, however they are spelt.
    Any other name has one by its letters; only where two of a list meet, the later in the alphabet
    gets another. The order of the list does not matter.
    """
    plain = {name: "".join(filter(str.isalnum, name.lower())) for name in names}
    colors: dict[str, Color] = {}
    # Canonical names first: an alias beside its own canonical name must not take its colour.
    for name in sorted(names, key=lambda name: (plain[name] not in KNOWN, name)):
        key = ALIASES.get(plain[name], plain[name])
        color, attempt = KNOWN.get(key), 0
        while color is None or color in colors.values():
            color, attempt = _drawn(plain[name], attempt), attempt + 1
        colors[name] = color
    return np.array([colors[name] for name in names], dtype=np.uint8).reshape(-1, 3)


def paint_labels(
    labels: np.ndarray, colors: np.ndarray, image: np.ndarray | None = None
) -> np.ndarray:
    """Return (H,W,3) uint8: the colour of each label (H,W), or laid over `image`; -1 is black.

    colors: (K,3) uint8 of `class_colors`; over an image, pixels without a label keep its own
    """
    painted = np.concatenate([colors, [NO_LABEL]]).astype(np.uint8)[labels]
    if image is None:
        return painted
    blend = np.round((1 - OPACITY) * image + OPACITY * painted).astype(np.uint8)
    return np.where(labels[..., None] < 0, image, blend)


def draw_legend(colors: Mapping[str, Sequence[int]], width: int) -> Image.Image:
    """Return names beside their colours, in lines that are at most `width` pixels wide."""
    font = ImageFont.load_default(size=12)
    places, left, top = [], MARGIN, MARGIN
    for name in colors:
        length = SWATCH + 6 + int(font.getlength(name)) + GAP
        if left + length > width and left > MARGIN:
            left, top = MARGIN, top + LINE
        places.append((left, top))
        left += length
    legend = Image.new("RGB", (width, top + LINE + MARGIN), PAPER)
    draw = ImageDraw.Draw(legend)
    for (name, color), (x, y) in zip(colors.items(), places, strict=True):
        draw.rectangle((x, y + 1, x + SWATCH - 1, y + SWATCH), tuple(map(int, color)), INK)
        draw.text((x + SWATCH + 6, y), name, INK, font)
    return legend


def _drawn(name: str, attempt: int) -> Color:
    """Return a colour of middle brightness, a function of the name."""
    digest = hashlib.sha256(f"{name} {attempt}".encode()).digest()
    return 40 + digest[0] * 200 // 255, 40 + digest[1] * 200 // 255, 40 + digest[2] * 200 // 255
