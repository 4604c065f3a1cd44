"""A room as flat arrays for the ray caster: shapes, textures and lights."""

from typing import NamedTuple

import numpy as np

from geoset.scans.rooms.layout import SHELL, Room
from geoset.scans.rooms.settings import ROOM_CLASSES
from geoset.scans.rooms.textures import TEXTURE, draw_texture


class Scene(NamedTuple):
    """N pieces of P parts under L lights; lengths in metres, colours in linear RGB.

    position (N,3), turn (N,2): world = [[c, -s], [s, c]] local + position, c, s = turn
    middle (N,3), radius (N,): a sphere around each piece, world
    first_part (N+1,): parts of piece n are first_part[n] up to first_part[n+1]
    centre, half (P,3), round (P,): boxes and upright cylinders in the frame of their piece
    texture (P,): index into textures
    label, instance (N,): class id, and class id * 1000 + its number among its class, from 1
    textures (T,): of type `TEXTURE`
    light (L,3), light_color (L,3), ambient (3,)
    """

    position: np.ndarray
    turn: np.ndarray
    middle: np.ndarray
    radius: np.ndarray
    first_part: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    round: np.ndarray
    texture: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    textures: np.ndarray
    light: np.ndarray
    light_color: np.ndarray
    ambient: np.ndarray


def dress(room: Room, rng: np.random.Generator, typical_style: float) -> Scene:
    """Draw textures and lights for a room and return all of it."""
    pieces = [placed.piece for placed in room.placed]
    bounds = np.stack([piece.bounds for piece in pieces])
    middle = np.stack(
        [p.to_world(b.mean(axis=0)) for p, b in zip(room.placed, bounds, strict=True)]
    )
    yaw = np.array([placed.yaw for placed in room.placed])
    parts = [part for piece in pieces for part in piece.parts]
    label = np.array([ROOM_CLASSES.index(piece.name) + 1 for piece in pieces])
    number = [np.count_nonzero(label[: n + 1] == label[n]) for n in range(len(label))]
    textures, texture = _textures(room, rng, typical_style)
    return Scene(
        position=np.stack([placed.position for placed in room.placed]),
        turn=np.stack([np.cos(yaw), np.sin(yaw)], axis=1),
        middle=middle,
        radius=np.linalg.norm(bounds[:, 1] - bounds[:, 0], axis=1) / 2,
        first_part=np.cumsum([0] + [len(piece.parts) for piece in pieces]),
        centre=np.array([part.centre for part in parts], dtype=float),
        half=np.array([part.half for part in parts], dtype=float),
        round=np.array([part.round for part in parts]),
        texture=texture,
        label=label,
        instance=label * 1000 + number,
        textures=textures,
        **_lights(room.size, rng),
    )


def _textures(
    room: Room, rng: np.random.Generator, typical_style: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return two textures a piece (T,) and the texture of every part (P,).

    Walls are papered alike, one of them differently now and then; pieces of one object that stands
    several times, such as the chairs of a table, look the same.
    """
    textures, texture, first = [], [], {}
    accent_wall = rng.integers(2, SHELL) if rng.random() < 0.3 else -1
    for n, placed in enumerate(room.placed):
        piece = placed.piece
        like = "wall" if 2 <= n < SHELL and n != accent_wall else id(piece)
        if like not in first:
            first[like] = len(textures)
            textures += [draw_texture(rng, piece.name, typical_style) for _ in range(2)]
        texture += [first[like] + part.accent for part in piece.parts]
    return np.array(textures, dtype=TEXTURE), np.array(texture)


def _lights(size: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return one to three lamps under the ceiling and light from everywhere."""
    count = rng.integers(1, 4)
    light = np.column_stack(
        [
            *(rng.uniform(0.15, 0.85, (2, count)) * size[:2, None]),
            size[2] - rng.uniform(0.05, 0.25, count),
        ]
    )
    strength = rng.uniform(0.5, 1.0, count)
    # Larger rooms have stronger lamps; the factor makes the light on a wall about 0.3 to 1.
    strength *= rng.uniform(0.10, 0.16) * size[0] * size[1] / strength.sum()
    warmth = rng.uniform(-0.12, 0.12, count)
    tint = np.stack([1 + warmth, np.ones(count), 1 - warmth], axis=1)
    return {
        "light": light,
        "light_color": strength[:, None] * tint,
        "ambient": rng.uniform(0.1, 0.22) * np.array([1.0, 1.0, 1.0 + rng.uniform(0, 0.1)]),
    }
