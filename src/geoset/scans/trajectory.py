"""Poses as rows of numbers, and what belongs together by its time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from geoset.scans.decode import read_bytes, unreadable

FULL_RATE = 0.05  # seconds between frames up to which a video counts as whole: 20 a second
FRAMES_A_SECOND = 30  # of the sensors whose frames are numbered
SHORTEST_VIDEO = 250  # frames; of fewer, even consecutive ones are few enough to keep


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


def is_full_rate(times: np.ndarray) -> bool:
    """Tell whether frames at these times (N,), in seconds, are a video without many gaps."""
    steps = np.diff(times)
    return len(times) >= SHORTEST_VIDEO and bool(np.mean((steps > 0) & (steps <= FULL_RATE)) >= 0.9)


def is_gapless(numbers: Iterable[int | str]) -> bool:
    """Tell whether frames of these numbers, in order, are a video without many gaps."""
    return is_full_rate(np.array(list(numbers), np.float64) / FRAMES_A_SECOND)
