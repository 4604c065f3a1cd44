"""Where everything stands: the shell of a room, what lies flush with its walls, its furniture.

World axes: x and y along the walls, z up, the origin in a lower corner of the room; metres.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage

from geoset.scans.rooms.furniture import (
    Piece,
    bed,
    bookshelf,
    box,
    cabinet,
    chair,
    counter,
    floor_lamp,
    pendant_lamp,
    sofa,
    table,
    table_lamp,
    thing,
    wall_cabinet,
)
from geoset.scans.rooms.settings import FLUSH_CLASSES, RoomSettings

SHELL = 6  # the first pieces of every room: floor, ceiling and four walls
RELIEF = 0.005  # of doors, windows and pictures
CELL = 0.05  # of the floor plan
HEADROOM = 1.85  # what hangs higher is in nobody's way
CHEST = 1.0  # what ends lower does not touch the camera of someone who stands close to it
ELBOWROOM = 0.3  # least distance of the camera from walls and from higher furniture, in plan
WALKING_SPACE = 0.2  # least part of the floor on which the camera can walk

THEMES = (
    (bed, cabinet, cabinet, table, bookshelf, floor_lamp, chair),
    (sofa, table, sofa, bookshelf, cabinet, floor_lamp, chair),
    (counter, counter, table, cabinet, chair, bookshelf, bed),
    (table, bookshelf, table, cabinet, chair, floor_lamp, sofa),
)
ANYTHING = (bed, bookshelf, cabinet, chair, counter, floor_lamp, sofa, table, thing, thing)
FREE_STANDING = (table, chair, sofa, floor_lamp, thing)


@dataclass(frozen=True)
class Placed:
    """A piece at a place: world = turn by `yaw` about z, then shift by `position` (3,)."""

    piece: Piece
    position: np.ndarray
    yaw: float = 0.0

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Move `points` (..., 3) from the frame of the piece to the world."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + self.position

    @cached_property
    def bounds(self) -> np.ndarray:
        """Lowest and highest world coordinates, (2,3)."""
        corners = np.stack(np.meshgrid(*self.piece.bounds.T, indexing="ij"), axis=-1)
        corners = self.to_world(corners.reshape(-1, 3))
        return np.stack([corners.min(axis=0), corners.max(axis=0)])


@dataclass
class Room:
    """A furnished room.

    size: (3,) inner width (x), length (y) and height (z)
    placed: everything in it; the first `SHELL` are floor, ceiling and walls
    reserved: (2,3) boxes that furniture keeps free: before doors, windows and pictures
    """

    size: np.ndarray
    placed: list[Placed]
    reserved: list[np.ndarray] = field(default_factory=list)

    def fits(self, new: Placed, beside: Placed | None = None) -> bool:
        """Whether `new` lies inside the room and meets nothing else but `beside`."""
        low, high = new.bounds
        if (low < -1e-9).any() or (high > self.size + 1e-9).any():
            return False
        others = [p.bounds for p in self.placed[SHELL:] if p is not beside]
        return not any(_meet((low, high), other) for other in others + self.reserved)

    def walkable(self) -> np.ndarray:
        """Return the (X,Y) bool plan, cells of `CELL`, of where a camera can walk, in one piece."""
        cells = np.ceil(self.size[:2] / CELL).astype(int)
        floor, air = np.zeros((2, *(cells + 2)), dtype=bool)
        floor[1:-1, 1:-1] = air[1:-1, 1:-1] = True
        for placed in self.placed[SHELL:]:
            low, high = placed.bounds
            if low[2] < HEADROOM and placed.piece.name not in FLUSH_CLASSES:
                i, j = np.maximum(np.floor(low[:2] / CELL).astype(int) + 1, 0)
                k, m = np.ceil(high[:2] / CELL).astype(int) + 1
                floor[i:k, j:m] = False
                if high[2] > CHEST:
                    air[i:k, j:m] = False
        roomy = floor & (ndimage.distance_transform_edt(air) * CELL > ELBOWROOM)
        roomy = roomy[1:-1, 1:-1]
        parts, _ = ndimage.label(roomy)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        return (parts == sizes.argmax()) & roomy


def _meet(a, b) -> bool:
    return bool((a[0] < b[1]).all() and (b[0] < a[1]).all())


def furnish(rng: np.random.Generator, settings: RoomSettings) -> Room:
    """Return a room with doors, windows, pictures, furniture and things lying about."""
    size = np.array([rng.uniform(3, 6), rng.uniform(3, 6), rng.uniform(2.4, 3.0)])
    room = Room(size, shell(size))
    for name, count in (("door", rng.integers(1, 3)), ("window", rng.integers(1, 4))):
        for _ in range(count):
            _hang(room, name, rng)
    count = int(rng.integers(settings.furniture[0], settings.furniture[1] + 1))
    theme = THEMES[rng.integers(len(THEMES))]
    more = [ANYTHING[k] for k in rng.integers(len(ANYTHING), size=max(0, count - len(theme)))]
    for build in [*theme[:count], *more]:
        _place(room, build, rng)
    for _ in range(rng.integers(2, 6)):
        _hang(room, "picture", rng)
    _hang_lamps(room, rng)
    for placed in list(room.placed):
        _clutter(room, placed, rng)
    return room


def shell(size: np.ndarray) -> list[Placed]:
    """Return floor, ceiling and walls: slabs 10 cm thick around the room, overlapping outside."""
    x, y, z = size
    slabs = [
        ("floor", box(x / 2, y / 2, -0.1, x + 0.2, y + 0.2, 0.1)),
        ("ceiling", box(x / 2, y / 2, z, x + 0.2, y + 0.2, 0.1)),
        ("wall", box(x / 2, -0.05, 0, x + 0.2, 0.1, z)),
        ("wall", box(x / 2, y + 0.05, 0, x + 0.2, 0.1, z)),
        ("wall", box(-0.05, y / 2, 0, 0.1, y, z)),
        ("wall", box(x + 0.05, y / 2, 0, 0.1, y, z)),
    ]
    return [Placed(Piece(name, [part]), np.zeros(3)) for name, part in slabs]


def _against_wall(size: np.ndarray, piece: Piece, rng: np.random.Generator, gap: float) -> Placed:
    """Return the piece with its back `gap` from a random wall, somewhere along it."""
    low, high = piece.bounds
    wall = rng.integers(4)
    along = size[wall % 2]
    offset = rng.uniform(-low[0], max(along - high[0], -low[0] + 1e-3))
    back = gap - low[1]
    x, y = size[:2]
    place = [(offset, back), (x - back, offset), (x - offset, y - back), (back, y - offset)][wall]
    return Placed(piece, np.array([*place, 0.0]), wall * np.pi / 2)


def _hang(room: Room, name: str, rng: np.random.Generator) -> None:
    """Put a door, window or picture flush on a wall where nothing hides it, if there is room."""
    for _ in range(20):
        if name == "door":
            width, height, bottom, clear = rng.uniform(0.8, 1.0), rng.uniform(1.95, 2.1), 0.0, 0.7
        elif name == "window":
            width, height = rng.uniform(0.8, 1.8), rng.uniform(0.7, 1.15)
            bottom, clear = rng.uniform(0.95, 1.1), 0.3
        else:
            width, height = rng.uniform(0.35, 1.1), rng.uniform(0.35, 0.8)
            bottom, clear = rng.uniform(1.3, 1.6) - height / 2, 0.3
        piece = Piece(name, [box(0, 0, bottom, width, RELIEF, height)])
        placed = _against_wall(room.size, piece, rng, 0.0)
        in_front = Piece(name, [box(0, clear / 2, bottom, width + 0.1, clear, height)])
        zone = Placed(in_front, placed.position, placed.yaw)
        if room.fits(placed) and not any(_meet(zone.bounds, p.bounds) for p in room.placed[SHELL:]):
            room.placed.append(placed)
            room.reserved.append(zone.bounds)
            return


def _place(
    room: Room, build: Callable[[np.random.Generator], Piece], rng: np.random.Generator
) -> None:
    """Put a piece of furniture somewhere that leaves space to walk, if there is such a place."""
    piece = build(rng)
    for _ in range(40):
        if build in FREE_STANDING and rng.random() < 0.5:
            yaw = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.2)
            placed = Placed(piece, np.array([*rng.uniform(0.3, room.size[:2] - 0.3), 0.0]), yaw)
        else:
            placed = _against_wall(room.size, piece, rng, rng.uniform(0.01, 0.05))
        if _add(room, placed):
            if build is table:
                _seat(room, placed, rng)
            elif build is counter and rng.random() < 0.7:
                above = wall_cabinet(rng, 2 * piece.parts[1].half[0])
                shift = above.bounds[0, 1] - piece.bounds[0, 1]
                place = placed.to_world(np.array([0.0, -shift, 0.0]))
                _add(room, Placed(above, place, placed.yaw), beside=placed)
            return


def _add(room: Room, new: Placed, beside: Placed | None = None) -> bool:
    """Add `new` if it fits and the camera can still walk about."""
    if not room.fits(new, beside):
        return False
    room.placed.append(new)
    if room.walkable().mean() < WALKING_SPACE:
        room.placed.pop()
        return False
    return True


def _seat(room: Room, at: Placed, rng: np.random.Generator) -> None:
    """Put up to four chairs of a kind at the sides of a table, drawn up to it more or less."""
    seat = chair(rng)
    high = at.piece.bounds[1]
    for side in rng.permutation(4)[: rng.integers(0, 5)]:
        reach, yaw = high[1 - side % 2] + rng.uniform(0.05, 0.35), side * np.pi / 2
        place = at.to_world(reach * np.array([np.sin(yaw), -np.cos(yaw), 0.0]))
        _add(room, Placed(seat, place, at.yaw + yaw + rng.normal(0, 0.15)), beside=at)


def _hang_lamps(room: Room, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0.8, room.size[:2] - 0.8)
        lamp = Placed(pendant_lamp(rng), np.array([x, y, room.size[2]]))
        if room.fits(lamp):
            room.placed.append(lamp)


def _clutter(room: Room, below: Placed, rng: np.random.Generator) -> None:
    """Let some things, or a lamp, stand on the tops of a piece."""
    for x, y, z, width, depth in below.piece.tops:
        for _ in range(rng.integers(0, 3 + int(6 * width * depth))):
            lamp = rng.random() < 0.2
            piece = table_lamp(rng) if lamp else thing(rng)
            reach = np.maximum(np.array([width, depth]) / 2 - 0.12, 0)
            at = np.array([x, y, z]) + np.append(rng.uniform(-reach, reach), 0.0)
            new = Placed(piece, below.to_world(at), below.yaw + rng.normal(0, 0.3))
            if room.fits(new, beside=below):
                room.placed.append(new)
