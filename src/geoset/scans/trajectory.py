"""Poses as rows of numbers, and what belongs together by its time."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from geoset.scans.decode import read_bytes, unreadable
from geoset.scans.scan import Frame

FULL_RATE = 0.05  # seconds between frames up to which a video counts as whole: 20 a second
FRAMES_A_SECOND = 30  # of the sensors whose frames are numbered
SHORTEST_VIDEO = 250  # frames; of fewer, even consecutive ones are few enough to keep
NUMBERED = re.compile(r"(?:.*/)?(?:frame-?)?(\d+)")  # how sensors' frames are named
MOST_METRES, MOST_DEGREES = 0.03, 2.0  # between its frames: 0.9 m and 60 degrees a second


def read_words(path: Path) -> list[list[str]]:
    """Return the words of each line of a text file; empty lines and those after # are left out.

    Raises:
        GeosetError: the file is missing or unreadable.
    """
    try:
        lines = read_bytes(path).decode(errors="replace").splitlines()
    except OSError as error:
        raise unreadable(path, error) from error
    rows = [line.split() for line in lines]
    return [words for words in rows if words and not words[0].startswith("#")]


def numbers(rows: list[list[str]], columns: int) -> np.ndarray:
    """Return rows of words as (N,columns) float64; NaN where a row is not that many numbers."""
    table = np.full((len(rows), columns), np.nan)
    for k, words in enumerate(rows):
        if len(words) == columns:
            try:
                table[k] = [float(word) for word in words]
            except ValueError:
                continue  # the row stays NaN, which costs what belongs to it
    return table


def nearest_in_time(times: np.ndarray, wanted: np.ndarray, within: float) -> np.ndarray:
    """Return for each of `wanted` (M,) the index of the nearest of `times` (N,), in seconds.

    -1 where none is `within` so many seconds; times that are not finite are never near.
    """
    finite = np.flatnonzero(np.isfinite(times))
    order = finite[np.argsort(times[finite], kind="stable")]
    if len(order) == 0:
        return np.full(len(wanted), -1)
    after = np.searchsorted(times[order], wanted).clip(0, len(order) - 1)
    before = (after - 1).clip(0)
    earlier = wanted - times[order[before]] <= times[order[after]] - wanted
    nearest = order[np.where(earlier, before, after)]
    return np.where(np.abs(times[nearest] - wanted) <= within, nearest, -1)


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return (N,4,4) transforms of rotation matrices (N,3,3) and translations (N,3)."""
    transforms = np.zeros((len(rotation), 4, 4))
    transforms[:, :3, :3] = rotation
    transforms[:, :3, 3] = translation
    transforms[:, 3, 3] = 1
    return transforms


def rotation_of_quaternion(xyzw: np.ndarray) -> np.ndarray:
    """Return (N,3,3) rotations of quaternions (N,4); zeros for one that is not of unit length."""
    with np.errstate(over="ignore"):
        usable = np.abs(np.linalg.norm(xyzw, axis=1) - 1) < 0.01
    matrices = np.zeros((len(xyzw), 3, 3))
    if usable.any():
        matrices[usable] = Rotation.from_quat(xyzw[usable]).as_matrix()
    return matrices


def rotation_of_axis_angle(vectors: np.ndarray) -> np.ndarray:
    """Return (N,3,3) rotations about `vectors` (N,3) by their length in radians; zeros for NaN."""
    usable = np.isfinite(vectors).all(axis=1)
    matrices = np.zeros((len(vectors), 3, 3))
    if usable.any():
        matrices[usable] = Rotation.from_rotvec(vectors[usable]).as_matrix()
    return matrices


def is_video(frames: list[Frame], times: Mapping[str, float] | None = None) -> bool:
    """Tell whether the usable frames of a scan are a video at full rate: neighbours hardly differ.

    times: of frames by name, in seconds. Without them names must be numbers without many gaps and
        poses must hardly move between neighbours, for chosen frames are numbered so, too.
    """
    if times is not None:
        return is_full_rate(np.array([times[frame.name] for frame in frames]))
    numbered = [NUMBERED.fullmatch(frame.name) for frame in frames]
    seconds = [float(found[1]) / FRAMES_A_SECOND if found else np.nan for found in numbered]
    return is_full_rate(np.array(seconds)) and _hardly_moves(frames)


def is_full_rate(times: np.ndarray) -> bool:
    """Tell whether frames at these times (N,), in seconds, are a video without many gaps."""
    steps = np.diff(times)
    return len(times) >= SHORTEST_VIDEO and bool(np.mean((steps > 0) & (steps <= FULL_RATE)) >= 0.9)


def motion(world_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the camera of each pose (N,4,4) moves, in metres, and turns, in degrees, to
    that of the next, (N-1,) each.
    """
    metres = np.linalg.norm(np.diff(world_from_camera[:, :3, 3], axis=0), axis=1)
    rotations = world_from_camera[:, :3, :3]
    cosine = (np.einsum("nij,nij->n", rotations[:-1], rotations[1:]) - 1) / 2
    return metres, np.degrees(np.arccos(cosine.clip(-1, 1)))


def _hardly_moves(frames: list[Frame]) -> bool:
    """Tell whether the camera moves and turns from frame to frame (two or more) as in a video."""
    metres, degrees = motion(np.stack([frame.world_from_camera for frame in frames]))
    return bool(np.median(metres) <= MOST_METRES and np.median(degrees) <= MOST_DEGREES)
