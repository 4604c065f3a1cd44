"""Which way is up in a surface whose coordinates do not say, and where its floor lies."""

from dataclasses import dataclass

import numpy as np

from geoset.geometry.mesh import face_normals

SEARCH_ANGLE = 45.0  # degrees from the cameras' own up; there is one wall normal or floor at most
DIRECTIONS = 4000  # on the sphere, 3 degrees apart
SEARCH_FACES = 5_000
TOLERANCES = (10.0, *[5.0] * 5)  # degrees, of the rounds that refine the best direction
LEVEL = 10.0  # degrees within which a face is called level, or upright
FLOOR_SHARE = 0.05  # of the level area lies below the floor, or is it


@dataclass(frozen=True)
class Up:
    """The direction against gravity, and what speaks for it.

    direction: (3,) float64, unit length
    agreement: 0 to 1, length of the mean of the cameras' own up directions; low when they roll
    angle: degrees between that mean and `direction`; large, and no fault, when the cameras all
        look down in one direction
    level, upright: shares of the surface's area within 10 degrees of level and of upright
    """

    direction: np.ndarray
    agreement: float
    angle: float
    level: float
    upright: float

    @property
    def sure(self) -> bool:
        """Whether the cameras agree among each other and with it, and some surface is level."""
        return self.agreement > 0.7 and self.angle < SEARCH_ANGLE - 5 and self.level > 0.05

    def __str__(self) -> str:
        x, y, z = self.direction
        return (
            f"up is ({x:.2f}, {y:.2f}, {z:.2f}){'' if self.sure else ', unsure'}: "
            f"{self.angle:.0f} degrees from the cameras' mean up (they agree to "
            f"{self.agreement:.2f} of 1), {self.level:.0%} of the surface is level and "
            f"{self.upright:.0%} upright"
        )


def find_up(vertices: np.ndarray, faces: np.ndarray, world_from_camera: np.ndarray) -> np.ndarray:
    """Find the direction (3,) to which most of a surface is level or upright, near the cameras' up.

    People hold cameras upright, so the mean of the cameras' -y says which of a building's main
    directions is up; floors, tables and walls then say it exactly.

    vertices: (V,3); faces: (F,3); world_from_camera: (N,4,4)
    """
    prior, _ = _mean_up(world_from_camera)
    normals, areas = _unit_normals(vertices, faces)
    candidates = _sphere(DIRECTIONS)
    near = candidates @ prior > np.cos(np.radians(SEARCH_ANGLE))
    candidates = candidates[near] if near.any() else candidates  # cameras may cancel out
    step = max(1, len(normals) // SEARCH_FACES)
    level, upright = _level_and_upright(normals[::step] @ candidates.T, TOLERANCES[-1])
    up = candidates[(areas[::step] @ (level | upright)).argmax()]
    for tolerance in TOLERANCES:
        level, upright = _level_and_upright(normals @ up, tolerance)
        # Most along the level normals, least along the upright ones.
        weights = areas * (level.astype(np.float64) - upright)
        up = np.linalg.eigh((normals * weights[:, None]).T @ normals)[1][:, -1]
    return up if up @ prior > 0 else -up


def judge_up(
    direction: np.ndarray, vertices: np.ndarray, faces: np.ndarray, world_from_camera: np.ndarray
) -> Up:
    """Say how well a direction, found or stated, fits the cameras and the surface."""
    prior, agreement = _mean_up(world_from_camera)
    direction = np.asarray(direction, dtype=np.float64)
    direction = direction / np.linalg.norm(direction)
    angle = np.degrees(np.arccos(np.clip(direction @ prior, -1, 1)))
    normals, areas = _unit_normals(vertices, faces)
    level, upright = _level_and_upright(normals @ direction, LEVEL)
    return Up(direction, agreement, float(angle), float(areas @ level), float(areas @ upright))


def floor_height(vertices: np.ndarray, faces: np.ndarray, up: np.ndarray) -> float:
    """Return the height along `up` under which 5 % of the level area lies; 0 if none is level."""
    normals, areas = _unit_normals(vertices, faces)
    level, _ = _level_and_upright(normals @ up, LEVEL)
    if not level.any():
        return 0.0
    heights = vertices[faces[level]].mean(axis=1) @ up
    order = np.argsort(heights)
    below = np.cumsum(areas[level][order])
    return float(heights[order[np.searchsorted(below, FLOOR_SHARE * below[-1])]])


def _level_and_upright(cosine: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Tell normals within `tolerance` degrees of up or down, and of the horizontal."""
    cosine = np.abs(cosine)
    return cosine > np.cos(np.radians(tolerance)), cosine < np.sin(np.radians(tolerance))


def _mean_up(world_from_camera: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the unit mean of the cameras' up directions (-y), and its length before."""
    mean = -world_from_camera[:, :3, 1].mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / max(length, 1e-9), length


def _sphere(count: int) -> np.ndarray:
    """Return (count,3) unit vectors spread evenly, on a Fibonacci spiral."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z**2)
    return np.stack([np.cos(turn) * radius, np.sin(turn) * radius, z], axis=1)


def _unit_normals(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (F,3) unit normals, and areas (F,) that sum to 1; a face without area has neither."""
    normals = face_normals(vertices.astype(np.float64), faces)
    areas = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(areas, 1e-30)[:, None]
    return normals, areas / max(areas.sum(), 1e-30)
