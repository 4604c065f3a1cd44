"""Procedural surfaces: what a class usually looks like, and the colour at a point of a face."""

from dataclasses import dataclass

import numba
import numpy as np

PATTERNS = (
    "plain", "stripes", "checks", "wood", "speckle", "bricks", "tiles", "dots", "patches", "panels",
)  # fmt: skip

TEXTURE = np.dtype([
    ("pattern", np.int64),  # position in PATTERNS
    ("first", np.float64, 3),  # linear RGB
    ("second", np.float64, 3),
    ("scale", np.float64),  # size of the pattern, metres
    ("cos", np.float64),  # of the pattern's turn on the face
    ("sin", np.float64),
    ("seed", np.int64),
    ("glow", np.float64),  # light given off, as a part of the reflectance
])  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A range of looks: patterns, and hue, saturation, value and pattern size as (low, high)."""

    patterns: tuple[str, ...]
    hue: tuple[float, float] = (0.0, 1.0)
    saturation: tuple[float, float] = (0.0, 0.7)
    value: tuple[float, float] = (0.2, 0.95)
    scale: tuple[float, float] = (0.05, 0.3)
    glow: tuple[float, float] = (0.0, 0.0)


ANY = Style(PATTERNS)
WOOD = (0.05, 0.11)  # hues
TYPICAL = {
    "wall": Style(
        ("plain", "plain", "speckle", "stripes"), (0.08, 0.17), (0.02, 0.2), (0.75, 0.95)
    ),
    "floor": Style(("wood", "tiles", "checks"), WOOD, (0.25, 0.6), (0.35, 0.65), (0.1, 0.4)),
    "ceiling": Style(("plain",), (0.1, 0.17), (0.0, 0.06), (0.88, 0.98)),
    "door": Style(("panels", "wood"), (0.04, 0.1), (0.35, 0.7), (0.4, 0.7)),
    "window": Style(("panels",), (0.53, 0.6), (0.1, 0.35), (0.85, 1.0), glow=(0.3, 0.9)),
    "picture": Style(("patches",), (0.0, 1.0), (0.4, 0.9), (0.4, 0.9), (0.06, 0.2)),
    "cabinet": Style(("wood", "plain"), WOOD, (0.3, 0.6), (0.5, 0.8), (0.05, 0.15)),
    "bed": Style(("stripes", "plain", "dots"), (0.55, 0.75), (0.1, 0.5), (0.6, 0.95)),
    "chair": Style(("plain", "wood"), (0.0, 0.06), (0.4, 0.8), (0.3, 0.7), (0.03, 0.1)),
    "sofa": Style(("speckle", "plain"), (0.25, 0.45), (0.15, 0.5), (0.3, 0.6), (0.02, 0.06)),
    "table": Style(("wood",), WOOD, (0.4, 0.75), (0.4, 0.75), (0.05, 0.15)),
    "bookshelf": Style(("wood", "plain"), WOOD, (0.3, 0.6), (0.3, 0.55), (0.05, 0.15)),
    "counter": Style(("plain", "speckle"), (0.5, 0.65), (0.0, 0.15), (0.55, 0.9), (0.03, 0.1)),
    "lamp": Style(("plain",), (0.1, 0.15), (0.1, 0.4), (0.9, 1.0), glow=(0.0, 0.8)),
    "object": Style(PATTERNS, (0.0, 1.0), (0.4, 0.9), (0.3, 0.9), (0.03, 0.1)),
}


def draw_texture(rng: np.random.Generator, name: str, typical: float) -> np.void:
    """Draw a `TEXTURE` for an instance of class `name`, a usual one with probability `typical`."""
    style = TYPICAL[name] if rng.random() < typical else ANY
    hue, saturation, value = (
        rng.uniform(*bounds) for bounds in (style.hue, style.saturation, style.value)
    )
    other = (
        hue + rng.normal(0, 0.03),
        saturation * rng.uniform(0.6, 1.2),
        value * rng.uniform(0.55, 0.9),
    )
    if style is ANY:
        other = (rng.random(), rng.uniform(0, 0.7), rng.uniform(0.2, 0.95))
    turn = rng.integers(2) * np.pi / 2 + (rng.normal(0, 0.4) if rng.random() < 0.2 else 0.0)
    texture = np.zeros((), dtype=TEXTURE)
    texture["pattern"] = PATTERNS.index(rng.choice(style.patterns))
    texture["first"], texture["second"] = _linear_rgb(hue, saturation, value), _linear_rgb(*other)
    texture["scale"] = np.exp(rng.uniform(*np.log(style.scale)))
    texture["cos"], texture["sin"] = np.cos(turn), np.sin(turn)
    texture["seed"] = rng.integers(1 << 31)
    texture["glow"] = rng.uniform(*style.glow)
    return texture[()]


def _linear_rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Convert HSV to linear RGB, (3,), of surfaces that are neither black nor perfectly white."""
    ramp = np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    display = value * (1 - np.clip(saturation, 0, 1) * (1 - np.clip(ramp, 0, 1)))
    return 0.02 + 0.85 * display**2.2


@numba.njit(cache=True)
def _chance(i, j, seed):
    """Return a number in [0, 1) that is fixed for integer (i, j) and seed."""
    h = (i * 374761393 + j * 668265263 + seed * 69069) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return (h ^ (h >> 16)) / 4294967296.0


@numba.njit(cache=True)
def _noise(x, y, seed):
    """Return smooth noise in [0, 1) with features of size 1 (value noise on a grid)."""
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    near = _chance(i, j, seed) * (1 - u) + _chance(i + 1, j, seed) * u
    far = _chance(i, j + 1, seed) * (1 - u) + _chance(i + 1, j + 1, seed) * u
    return near * (1 - v) + far * v


@numba.njit(cache=True)
def _mix(pattern, x, y, seed):
    """Return the part of the second colour at (x, y), in units of the pattern's size."""
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    if pattern == 1:  # stripes
        return 1.0 if u < 0.5 else 0.0
    if pattern == 2:  # checks
        return float((i + j) % 2)
    if pattern == 3:  # wood: rings bent by noise, long along x
        plank = _chance(0, j, seed)
        ring = 4 * _noise(0.15 * x + 17 * plank, y, seed) + 1.5 * y
        return 0.35 * plank + 0.5 * abs(2 * (ring - np.floor(ring)) - 1)
    if pattern == 4:  # speckle
        return 0.6 * _noise(2 * x, 2 * y, seed) + 0.4 * _noise(5 * x, 5 * y, seed + 1)
    if pattern == 5:  # bricks, two to one, each row shifted by half
        across = 0.5 * x + 0.5 * (j % 2)
        across -= np.floor(across)
        return (
            1.0
            if across < 0.06 or v < 0.12
            else 0.4 * _chance(int(0.5 * x + 0.5 * (j % 2)), j, seed)
        )
    if pattern == 6:  # tiles
        return 1.0 if u < 0.06 or v < 0.06 else 0.25 * _chance(i, j, seed)
    if pattern == 7:  # dots
        return 1.0 if (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.09 else 0.0
    return 0.3 * _noise(0.7 * x, 0.7 * y, seed)  # plain


@numba.njit(cache=True)
def reflectance(texture, x, y, half_x, half_y):
    """Return linear RGB at (x, y), metres from the middle of a face of the given half extents."""
    pattern, scale, seed = texture.pattern, texture.scale, texture.seed
    u = (texture.cos * x - texture.sin * y) / scale
    v = (texture.sin * x + texture.cos * y) / scale
    a, b = texture.first, texture.second
    if pattern == 8:  # patches: a colour of its own for every cell
        i, j = int(np.floor(u)), int(np.floor(v))
        r, g, m = _chance(i, j, seed), _chance(i, j, seed + 1), _chance(i, j, seed + 2)
        return a[0] * (1 - r) + b[0] * r, a[1] * (1 - g) + b[1] * g, a[2] * (1 - m) + b[2] * m
    if pattern == 9:  # panels: a border and a cross of the second colour
        edge = 0.06 + 0.1 * min(half_x, half_y, 0.5)
        border = half_x - abs(x) < edge or half_y - abs(y) < edge
        m = 1.0 if border or min(abs(x), abs(y)) < 0.35 * edge else 0.0
    else:
        m = _mix(pattern, u, v, seed)
    return a[0] + m * (b[0] - a[0]), a[1] + m * (b[1] - a[1]), a[2] + m * (b[2] - a[2])
