"""Pieces of furniture, composed of boxes and upright cylinders.

A piece stands at the origin of its own frame: x along its width, y from its back (negative) to
its front, z up from the floor. Sizes are those of ordinary furniture, in metres.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Random = np.random.Generator


@dataclass(frozen=True)
class Part:
    """A box, or an upright cylinder whose `half` is (radius, radius, half height).

    accent: takes the second texture of its piece
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    round: bool = False
    accent: bool = False


@dataclass(frozen=True)
class Piece:
    """Parts that make one instance of a class.

    tops: surfaces on which things may stand, each (x, y, z, width, depth) by its centre
    """

    name: str
    parts: list[Part]
    tops: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    @cached_property
    def bounds(self) -> np.ndarray:
        """Lowest and highest coordinates in the frame of the piece, (2,3)."""
        centres = np.array([part.centre for part in self.parts])
        halves = np.array([part.half for part in self.parts])
        return np.stack([(centres - halves).min(axis=0), (centres + halves).max(axis=0)])


def box(
    x: float, y: float, bottom: float, width: float, depth: float, height: float, accent=False
) -> Part:
    """Return the box that stands on z = `bottom` with its middle over (x, y)."""
    return Part((x, y, bottom + height / 2), (width / 2, depth / 2, height / 2), accent=accent)


def cylinder(x: float, y: float, bottom: float, radius: float, height: float, accent=False) -> Part:
    """Return the upright cylinder that stands on z = `bottom` with its axis over (x, y)."""
    return Part((x, y, bottom + height / 2), (radius, radius, height / 2), True, accent)


def _legs(width: float, depth: float, height: float, thick: float, accent=False) -> list[Part]:
    x, y = width / 2 - thick, depth / 2 - thick
    return [box(i * x, j * y, 0, thick, thick, height, accent) for i in (-1, 1) for j in (-1, 1)]


def chair(rng: Random) -> Piece:
    """Return a chair on four legs or on a pedestal, a stool now and then."""
    width, depth = rng.uniform(0.40, 0.52, 2)
    seat, top = rng.uniform(0.42, 0.50), rng.uniform(0.80, 1.05)
    if rng.random() < 0.35:
        stand = [cylinder(0, 0, 0, 0.24, 0.06, True), cylinder(0, 0, 0, 0.035, seat, True)]
    else:
        stand = _legs(width, depth, seat, 0.045, rng.random() < 0.5)
    if rng.random() < 0.2:
        return Piece("chair", [*stand, cylinder(0, 0, seat - 0.03, width / 2, 0.06)])
    parts = [*stand, box(0, 0, seat - 0.03, width, depth, 0.06)]
    low = seat + rng.uniform(0.0, 0.15)
    parts.append(box(0, -depth / 2 + 0.025, low, width, 0.05, top - low))
    parts += [
        box(i * (width / 2 - 0.02), -depth / 2 + 0.025, seat, 0.04, 0.04, low - seat + 0.01)
        for i in (-1, 1)
    ]
    if rng.random() < 0.3:
        parts += [box(i * width / 2, 0, seat + 0.18, 0.05, 0.8 * depth, 0.04) for i in (-1, 1)]
    return Piece("chair", parts)


def table(rng: Random) -> Piece:
    """Return a dining table, desk or coffee table, rectangular or round."""
    height = rng.uniform(0.38, 0.48) if rng.random() < 0.3 else rng.uniform(0.68, 0.78)
    thick = rng.uniform(0.025, 0.06)
    if rng.random() < 0.25:
        radius = rng.uniform(0.35, 0.60)
        parts = [
            cylinder(0, 0, height - thick, radius, thick),
            cylinder(0, 0, 0, 0.05, height - thick, True),
            cylinder(0, 0, 0, 0.6 * radius, 0.04, True),
        ]
        return Piece("table", parts, [(0, 0, height, 1.3 * radius, 1.3 * radius)])
    width, depth = rng.uniform(0.8, 1.7), rng.uniform(0.55, 0.9)
    parts = [box(0, 0, height - thick, width, depth, thick)]
    if rng.random() < 0.6:
        parts += _legs(width, depth, height - thick, rng.uniform(0.04, 0.08), rng.random() < 0.5)
    else:
        sides = [-1, 1]
        parts += [
            box(i * (width / 2 - 0.03), 0, 0, 0.04, 0.9 * depth, height - thick, True)
            for i in sides
        ]
    return Piece("table", parts, [(0, 0, height, width, depth)])


def bed(rng: Random) -> Piece:
    """Return a bed with its head at the back: frame, mattress, blanket, pillows."""
    width, length = rng.uniform(0.9, 1.8), rng.uniform(1.9, 2.1)
    frame, top = rng.uniform(0.18, 0.32), rng.uniform(0.42, 0.58)
    head = rng.uniform(0.7, 1.15)
    blanket = rng.uniform(0.55, 0.75) * length
    pillows = 2 if width > 1.3 else 1
    parts = [
        box(0, 0.03, 0.08, width, length - 0.06, frame - 0.08, True),
        box(0, 0.03, frame, 0.96 * width, length - 0.1, top - frame),
        box(0, length / 2 - blanket / 2, frame + 0.05, width, blanket, top - frame - 0.02),
        box(0, -length / 2 + 0.03, 0, width + 0.06, 0.06, head, True),
        *_legs(width, length, 0.08, 0.08, True),
    ]
    for k in range(pillows):
        x = (k - (pillows - 1) / 2) * width / 2
        parts.append(
            box(x, -length / 2 + 0.3, top, 0.38 * width if pillows == 2 else 0.6, 0.4, 0.1)
        )
    return Piece("bed", parts)


def sofa(rng: Random) -> Piece:
    """Return an armchair, a sofa, or one with a corner seat: base, arms, back and cushions."""
    width, depth = rng.choice([0.85, 1.5, 2.0]) + rng.uniform(-0.1, 0.2), rng.uniform(0.8, 0.95)
    seat, top, arm = rng.uniform(0.38, 0.46), rng.uniform(0.72, 0.95), rng.uniform(0.10, 0.22)
    inner = width - 2 * arm
    count = max(1, round(inner / 0.65))
    parts = [
        box(0, 0, 0.06, width, depth, seat - 0.18),
        box(0, -depth / 2 + 0.1, 0.06, width, 0.2, top - 0.06),
        *_legs(width, depth, 0.06, 0.06, True),
    ]
    parts += [box(i * (width - arm) / 2, 0, 0.06, arm, depth, seat + 0.1) for i in (-1, 1)]
    for k in range(count):
        x, each = (k - (count - 1) / 2) * inner / count, inner / count - 0.015
        parts.append(box(x, 0.09, seat - 0.12, each, depth - 0.2, 0.12))
        parts.append(box(x, -depth / 2 + 0.26, seat, each, 0.14, 0.75 * (top - seat)))
    if width > 1.3 and rng.random() < 0.3:
        side = rng.choice([-1, 1])
        parts.append(box(side * (width / 2 - 0.4), depth / 2 + 0.35, 0.06, 0.8, 0.7, seat - 0.06))
    return Piece("sofa", parts)


def cabinet(rng: Random) -> Piece:
    """Return a night stand, a sideboard or a wardrobe with doors and knobs."""
    width, depth, height = [
        (rng.uniform(0.4, 0.6), rng.uniform(0.35, 0.5), rng.uniform(0.45, 0.7)),
        (rng.uniform(0.8, 1.6), rng.uniform(0.4, 0.5), rng.uniform(0.7, 1.1)),
        (rng.uniform(0.8, 1.6), rng.uniform(0.5, 0.65), rng.uniform(1.7, 2.15)),
    ][rng.integers(3)]
    doors = max(1, round(width / 0.5))
    rows = 1 if height > 1.3 else int(rng.integers(1, 4))
    parts = [
        box(0, -0.03, 0, 0.94 * width, depth - 0.08, 0.08, True),
        box(0, -0.01, 0.08, width, depth - 0.02, height - 0.08),
    ]
    for i in range(doors):
        for j in range(rows):
            x, step = (i - (doors - 1) / 2) * width / doors, (height - 0.1) / rows
            z = 0.1 + j * step
            parts.append(box(x, depth / 2 - 0.01, z, width / doors - 0.02, 0.02, step - 0.02))
            parts.append(box(x, depth / 2 + 0.01, z + step / 2, 0.1, 0.025, 0.025, True))
    return Piece("cabinet", parts, [(0, 0, height, width, depth)] if height < 1.3 else [])


def wall_cabinet(rng: Random, width: float) -> Piece:
    """Return a cabinet that hangs over a counter of the given width."""
    bottom, height, depth = rng.uniform(1.4, 1.5), rng.uniform(0.5, 0.75), rng.uniform(0.28, 0.36)
    doors = max(1, round(width / 0.5))
    parts = [box(0, -0.01, bottom, width, depth - 0.02, height)]
    for i in range(doors):
        x = (i - (doors - 1) / 2) * width / doors
        parts.append(
            box(x, depth / 2 - 0.01, bottom + 0.01, width / doors - 0.02, 0.02, height - 0.02)
        )
    return Piece("cabinet", parts)


def bookshelf(rng: Random) -> Piece:
    """Return an open shelf, its boards partly filled with rows of books."""
    width, depth, height = rng.uniform(0.6, 1.3), rng.uniform(0.25, 0.35), rng.uniform(1.0, 2.1)
    boards = max(3, round(height / 0.36))
    step = (height - 0.03) / (boards - 1)
    parts = [box(i * (width / 2 - 0.012), 0, 0, 0.025, depth, height) for i in (-1, 1)]
    parts += [box(0, 0, k * step, width - 0.05, depth, 0.03) for k in range(boards)]
    if rng.random() < 0.7:
        parts.append(box(0, -depth / 2 + 0.005, 0, width, 0.01, height))
    for k in range(boards - 1):
        x = -width / 2 + 0.03
        while (row := rng.uniform(0.08, 0.3)) < width / 2 - 0.03 - x:
            if rng.random() < 0.65:
                tall, deep = rng.uniform(0.5, 0.85) * step, rng.uniform(0.5, 0.85) * depth
                parts.append(
                    box(
                        x + row / 2,
                        (deep - depth) / 2 + 0.01,
                        k * step + 0.03,
                        row,
                        deep,
                        tall,
                        rng.random() < 0.7,
                    )
                )
            x += row
    return Piece("bookshelf", parts, [(0, 0, height, width, depth)] if height < 1.5 else [])


def counter(rng: Random) -> Piece:
    """Return a kitchen counter: fronts, overhanging worktop, a tap."""
    width, depth, height = rng.uniform(1.0, 2.3), rng.uniform(0.58, 0.65), rng.uniform(0.86, 0.95)
    tap = rng.uniform(-0.35, 0.35) * width
    doors = round(width / 0.6)
    parts = [
        box(0, -0.03, 0, width, depth - 0.12, 0.1, True),
        box(0, -0.02, 0.1, width, depth - 0.06, height - 0.14),
        box(0, 0, height - 0.04, width + 0.02, depth, 0.04, True),
        cylinder(tap, -depth / 2 + 0.08, height, 0.015, 0.25),
        box(tap, -depth / 2 + 0.16, height + 0.23, 0.02, 0.18, 0.02),
    ]
    for i in range(doors):
        x = (i - (doors - 1) / 2) * width / doors
        parts.append(box(x, depth / 2 - 0.04, 0.12, width / doors - 0.02, 0.02, height - 0.18))
    return Piece("counter", parts, [(0, 0.05, height, 0.9 * width, 0.8 * depth)])


def floor_lamp(rng: Random) -> Piece:
    """Return a lamp with a foot, a pole and a shade."""
    height, radius = rng.uniform(1.35, 1.8), rng.uniform(0.14, 0.24)
    shade = rng.uniform(0.2, 0.35)
    foot, pole = cylinder(0, 0, 0, 0.15, 0.03, True), cylinder(0, 0, 0, 0.02, height - shade, True)
    return Piece("lamp", [foot, pole, cylinder(0, 0, height - shade, radius, shade)])


def table_lamp(rng: Random) -> Piece:
    """Return a small lamp to stand on other furniture."""
    height, radius = rng.uniform(0.3, 0.5), rng.uniform(0.08, 0.15)
    foot = cylinder(0, 0, 0, 0.7 * radius, 0.02, True)
    pole = cylinder(0, 0, 0, 0.02, 0.6 * height, True)
    return Piece("lamp", [foot, pole, cylinder(0, 0, 0.5 * height, radius, 0.5 * height)])


def pendant_lamp(rng: Random) -> Piece:
    """Return a lamp that hangs down from z = 0."""
    drop, radius, shade = rng.uniform(0.12, 0.5), rng.uniform(0.12, 0.28), rng.uniform(0.08, 0.2)
    shade = min(shade, drop)
    cord = cylinder(0, 0, -drop, 0.012, drop, True)
    return Piece("lamp", [cord, cylinder(0, 0, -drop, radius, shade)])


def thing(rng: Random) -> Piece:
    """Return something that lies about: a box, a jar, a pile of books, a screen or a plant."""
    kind = rng.integers(5)
    width, depth, height = rng.uniform(0.12, 0.4), rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.35)
    if kind == 0:
        parts = [box(0, 0, 0, width, depth, height)]
    elif kind == 1:
        parts = [cylinder(0, 0, 0, rng.uniform(0.04, 0.12), height)]
    elif kind == 2:
        sizes = rng.uniform(0.15, 0.3, (rng.integers(2, 5), 2))
        shift = rng.uniform(-0.015, 0.015, sizes.shape)
        parts = [
            box(*shift[k], 0.04 * k, *sizes[k], 0.04, accent=k % 2 == 1) for k in range(len(sizes))
        ]
    elif kind == 3:
        screen = rng.uniform(0.4, 0.6)
        foot, stand = box(0, 0, 0, 0.2, 0.14, 0.015), box(0, -0.02, 0, 0.04, 0.03, 0.15)
        parts = [foot, stand, box(0, 0.01, 0.1, screen, 0.03, 0.6 * screen, True)]
    else:
        pot, stem = cylinder(0, 0, 0, 0.07, 0.13), cylinder(0, 0, 0.13, 0.015, 0.08)
        radius, leaves = rng.uniform(0.07, 0.13), rng.uniform(0.1, 0.2)
        parts = [pot, stem, cylinder(0, 0, 0.2, radius, leaves, True)]
    return Piece("object", parts)
