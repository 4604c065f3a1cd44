"""A person walking about a room with a camera, turning slowly."""

import numpy as np

from geoset.geometry.camera import Camera
from geoset.scans.rooms.layout import CELL, Room
from geoset.scans.rooms.render import look
from geoset.scans.rooms.scene import Scene
from geoset.scans.rooms.settings import FLUSH_CLASSES, ROOM_CLASSES

HEIGHT = (1.2, 1.7)
PITCH, TILT = -17.0, 13.0  # degrees: mean and spread of the angle upwards
ROLL = 1.5  # degrees
TURN = (12.0, 32.0)  # degrees from one frame to the next
STEP = (0.05, 0.4)  # metres
CHOICES = 24  # steps thought of, of which the one with the best view is taken
OPEN = 2.5  # metres; farther is no better
CLOSE = 1.3  # metres; nearer is bad
BARE = np.isin(("none", *ROOM_CLASSES), ("wall", "floor", "ceiling", *FLUSH_CLASSES))


def walk(
    room: Room, scene: Scene, camera: Camera, frames: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return one (4,4) `world_from_camera` a frame.

    The camera keeps turning one way and backs off from what it looks at, so that neighbouring
    frames overlap and the room is seen from several sides.
    """
    free = room.walkable()
    glance = camera.resized(6, 8)
    side, height = rng.choice([-1, 1]), rng.uniform(*HEIGHT)
    pitch, roll = rng.normal(PITCH, TILT), rng.normal(0, ROLL)
    state, poses = None, []
    for _ in range(frames):
        choices = _start(free, rng) if state is None else _steps(free, state, side, rng)
        views = [look(scene, glance, _pose(*choice, height, pitch, roll)) for choice in choices]
        scores = [_appeal(scene, *view) for view in views] + rng.normal(0, 0.1, len(views))
        state = choices[int(np.argmax(scores))]
        poses.append(_pose(*state, height, pitch, roll))
        height = np.clip(height + rng.normal(0, 0.04), *HEIGHT)
        pitch = PITCH + 0.7 * (pitch - PITCH) + rng.normal(0, 0.7 * TILT)
        roll = 0.5 * roll + rng.normal(0, 0.87 * ROLL)
    return poses


def _appeal(scene: Scene, depth: np.ndarray, piece: np.ndarray) -> float:
    """Return how good a view is: open, nothing close before it, not bare walls alone."""
    bare = BARE[scene.label[piece]].mean()
    return np.minimum(depth, OPEN).mean() - 3 * np.maximum(CLOSE - depth, 0).mean() - 2.5 * bare


def _start(free: np.ndarray, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Return places to begin at: x, y in metres, heading in degrees."""
    cells = rng.choice(np.argwhere(free), CHOICES)
    return [(*((cell + 0.5) * CELL), rng.uniform(0, 360)) for cell in cells]


def _steps(
    free: np.ndarray, state: tuple[float, float, float], side: int, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Return places one step on, all of them free; turning on the spot is one of them."""
    x, y, heading = state
    choices = [(x, y, heading + side * TURN[0])]
    while len(choices) < CHOICES:
        turn, length, angle = rng.uniform(*TURN), rng.uniform(*STEP), rng.uniform(0, 2 * np.pi)
        to = np.array([x + length * np.cos(angle), y + length * np.sin(angle)])
        cell = np.clip((to / CELL).astype(int), 0, np.array(free.shape) - 1)
        if free[tuple(cell)]:
            choices.append((*to, heading + side * turn))
    return choices


def _pose(
    x: float, y: float, heading: float, height: float, pitch: float, roll: float
) -> np.ndarray:
    """Return `world_from_camera` for angles in degrees; pitch is up, roll clockwise."""
    h, p, r = np.radians([heading, pitch, roll])
    forward = np.array([np.cos(h) * np.cos(p), np.sin(h) * np.cos(p), np.sin(p)])
    level = np.array([np.sin(h), -np.cos(h), 0.0])
    down = np.cross(forward, level)
    world_from_camera = np.eye(4)
    world_from_camera[:3, 0] = np.cos(r) * level + np.sin(r) * down
    world_from_camera[:3, 1] = np.cos(r) * down - np.sin(r) * level
    world_from_camera[:3, 2] = forward
    world_from_camera[:3, 3] = x, y, height
    return world_from_camera
