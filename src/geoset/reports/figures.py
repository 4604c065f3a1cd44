"""Pictures of prepared scenes: sets in stable colours, depth, coverage, pairs (Fig. 3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geoset.files import atomic_path
from geoset.prepare.scene import PreparedScene
from geoset.spacing import evenly_spaced

TILE_WIDTH = 256  # pixels, about, of tiles made of smaller pictures
MARGIN = 4  # pixels between tiles
CAPTION = 18  # pixels of text above each tile
PAPER, INK = (255, 255, 255), (20, 20, 20)
FARTHEST = 5.0  # metres, the dark end of depth pictures
OPACITY = 0.55  # of set colours over the image


def set_colors(ids: np.ndarray) -> np.ndarray:
    """Return (..., 3) uint8 colours of set ids, the same id always the same; -1 is black."""
    ids = np.asarray(ids, dtype=np.int64)
    bits = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    hue = (bits >> np.uint64(40)) / 2.0**24
    saturation = 0.45 + 0.5 * ((bits >> np.uint64(20)) % np.uint64(1 << 20)) / 2.0**20
    value = 0.65 + 0.35 * (bits % np.uint64(1 << 20)) / 2.0**20
    turn = np.stack([hue, hue + 2 / 3, hue + 1 / 3], axis=-1) % 1.0
    ramp = np.clip(np.abs(turn * 6 - 3) - 1, 0, 1)
    rgb = value[..., None] * (1 - saturation[..., None] * (1 - ramp))
    return np.where(ids[..., None] < 0, 0, np.round(rgb * 255)).astype(np.uint8)


def paint_sets(image: np.ndarray, set_map: np.ndarray) -> np.ndarray:
    """Lay set colours over an image (H,W,3), with dark lines where sets meet."""
    blend = (1 - OPACITY) * image + OPACITY * set_colors(set_map)
    border = np.zeros(set_map.shape, dtype=bool)
    border[:, 1:] |= (set_map[:, 1:] != set_map[:, :-1]) & (set_map[:, :-1] >= 0)
    border[1:] |= (set_map[1:] != set_map[:-1]) & (set_map[:-1] >= 0)
    blend[border] *= 0.5
    blend[set_map < 0] = 0.25 * image[set_map < 0]
    return np.round(blend).astype(np.uint8)


def paint_depth(depth: np.ndarray) -> np.ndarray:
    """Colour depth (H,W) in metres from near (bright) to far (dark); none is black."""
    from matplotlib import colormaps

    colors = colormaps["magma"](1 - np.clip(depth / FARTHEST, 0, 1), bytes=True)[..., :3]
    return np.where(depth[..., None] > 0, colors, np.uint8(0))


def paint_coverage(image: np.ndarray, depth: np.ndarray | None, seen: np.ndarray) -> np.ndarray:
    """Green where a vertex is seen, red where depth found no agreeing surface, grey elsewhere."""
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    has_depth = np.ones_like(seen) if depth is None else depth > 0
    tint = np.where(seen[..., None], (40, 170, 80), (215, 50, 40))
    blend = np.where((seen | has_depth)[..., None], 0.5 * grey + 0.5 * tint, 0.5 * grey)
    return np.round(blend).astype(np.uint8)


def tile(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> Image.Image:
    """Lay captioned (H,W,3) uint8 pictures out in rows; enlarge small ones by whole factors."""
    rows = [[(caption, _enlarge(picture)) for caption, picture in row] for row in rows]
    heights = [max(picture.shape[0] for _, picture in row) + CAPTION + MARGIN for row in rows]
    widths = [sum(picture.shape[1] + MARGIN for _, picture in row) for row in rows]
    sheet = Image.new("RGB", (max(widths) + MARGIN, sum(heights) + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for caption, picture in row:
            draw.text((left, top), _shorten(caption, picture.shape[1], font), INK, font)
            sheet.paste(Image.fromarray(picture), (left, top + CAPTION))
            left += picture.shape[1] + MARGIN
        top += height
    return sheet


def _enlarge(picture: np.ndarray) -> np.ndarray:
    factor = max(1, round(TILE_WIDTH / picture.shape[1]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    while font.getlength(text) > width and len(text) > 4:
        text = text[:-4] + "..."
    return text


def scene_sheet(scene: PreparedScene, count: int = 4) -> Image.Image:
    """Show frames, spread over the scene: colour, sets, depth, coverage; then one pair."""
    rows = []
    for i in evenly_spaced(len(scene), count):
        image, set_map = scene.image(i), scene.set_map(i)
        depth = scene.depth(i) if scene.has_depth else None
        entry = scene.info["frames"][i]
        sets = len(np.unique(set_map[set_map >= 0]))
        row = [
            (scene.frame_ids[i], image),
            (f"{sets} sets (geometric)", paint_sets(image, set_map)),
            (
                f"sees a vertex: {entry['covered']:.0%} of pixels with depth",
                paint_coverage(image, depth, set_map >= 0),
            ),
        ]
        if depth is not None:
            row.insert(2, (f"depth, dark = {FARTHEST:g} m", paint_depth(depth)))
        rows.append(row)
    if len(scene.pairs):
        rows.append(pair_row(scene, typical_pair(scene)))
    return tile(rows)


def typical_pair(scene: PreparedScene) -> int:
    """Return the pair whose overlap is the median one."""
    return int(np.argsort(scene.overlap, kind="stable")[len(scene.overlap) // 2])


def pair_row(scene: PreparedScene, pair: int) -> list[tuple[str, np.ndarray]]:
    """Show two views of a pair beside the sets that both see, in the same colours (Fig. 3)."""
    first, second = scene.pairs[pair]
    set_maps = [scene.set_map(i) for i in (first, second)]
    shared = np.intersect1d(*set_maps)
    shared = shared[shared >= 0]
    row = []
    for i, set_map in zip((first, second), set_maps, strict=True):
        common = np.where(np.isin(set_map, shared), set_map, -1)
        row.append((f"pair: {scene.frame_ids[i]}", scene.image(i)))
        caption = f"{len(shared)} common sets, overlap {scene.overlap[pair]:.2f}"
        row.append((caption, paint_sets(scene.image(i), common)))
    return row


def paint_features(maps: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Show features (C,h,w) of several images by their first three principal components.

    One basis for all of them: the same colour is the same feature. Returns (H,W,3) uint8 of
    `size` (H,W).
    """
    flat = np.concatenate([m.reshape(len(m), -1).T for m in maps]).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    mean = flat.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((flat - mean).T))
    axes = axes[:, :-4:-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scores = (flat - mean) @ axes
    low, high = np.percentile(scores, [2, 98], axis=0)
    colors = np.clip((scores - low) / np.maximum(high - low, 1e-12), 0, 1)
    pictures, start = [], 0
    for m in maps:
        height, width = m.shape[1:]
        part = colors[start : start + height * width].reshape(height, width, -1)
        start += height * width
        small = Image.fromarray(np.round(part * 255).astype(np.uint8))
        pictures.append(np.asarray(small.resize(size[::-1], Image.Resampling.BILINEAR)))
    return pictures


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Write a picture, all or nothing: JPEG where the name says so, otherwise PNG."""
    kind = "JPEG" if Path(path).suffix.lower() in (".jpg", ".jpeg") else "PNG"
    with atomic_path(path) as temporary:
        picture.save(temporary, format=kind)
