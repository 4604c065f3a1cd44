"""Lens distortion: images are resampled as they are read, to what a pinhole would have taken.

The model is that of OpenCV, which COLMAP's RADIAL and OPENCV cameras and nerfstudio share. Where a
pinhole sees (x, y) at z = 1, with r² = x² + y², the lens puts

    x' = x f + 2 p1 x y + p2 (r² + 2 x²)        f = 1 + k1 r² + k2 r⁴ + ...
    y' = y f + 2 p2 x y + p1 (r² + 2 y²)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numba import njit

from geoset.geometry.camera import Camera
from geoset.scans.scan import Frame, FrameError

LARGEST_IMAGE = 100_000  # pixels a side
FOLD_SAMPLES = 1000  # radii at which it is tested whether the lens still maps outwards


@dataclass(frozen=True)
class Distortion:
    """What a lens does to rays; nothing if all is 0.

    radial: k1, k2, ...; tangential: p1, p2
    """

    radial: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)

    def __bool__(self) -> bool:
        return any(self.radial) or any(self.tangential)


PINHOLE = Distortion()


class Lens(NamedTuple):
    """What a file says of a camera: the pinhole that it would be, and how the lens differs."""

    camera: Camera
    distortion: Distortion


def make_lens(
    source: str,
    values: Sequence[object],
    radial: Sequence[object] = (),
    tangential: Sequence[object] = (0, 0),
) -> Lens:
    """Build a lens from what a file holds; its pixel centres are at +0.5.

    source: names the file
    values: fx, fy, cx, cy, width, height

    Raises:
        FrameError: they are no numbers, or none that a camera can have.
    """
    try:
        fx, fy, cx, cy, width, height = (float(value) for value in values)
        distortion = Distortion(tuple(map(float, radial)), tuple(map(float, tangential)))
        numbers = [fx, fy, cx, cy, *distortion.radial, *distortion.tangential]
        usable = np.isfinite(numbers).all() and min(fx, fy) > 0
        usable = usable and all(1 <= size <= LARGEST_IMAGE for size in (width, height))
    except (TypeError, ValueError, OverflowError):
        usable = False
    if not usable:
        raise FrameError(
            f"{source}: expected numbers fx, fy > 0, cx, cy, width and height (1 to "
            f"{LARGEST_IMAGE}), and those of distortion; found {[*values, *radial, *tangential]}",
            "unusable intrinsics",
        )
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return Lens(Camera(K, int(width), int(height)), distortion)


def undistort_frame(frame: Frame, distortion: Distortion) -> Frame:
    """Return the frame as a pinhole of the same intrinsics and image size would have taken it.

    Colour is sampled bilinearly; depth, labels and mask take the nearest pixel. What the lens did
    not see has no depth, label 0, and is masked.
    """
    if not distortion:
        return frame
    nearest = partial(_read_nearest, camera=frame.camera, distortion=distortion)
    return replace(
        frame,
        read_image=partial(_read_bilinear, frame.read_image, frame.camera, distortion),
        read_depth=frame.read_depth
        and partial(_read_nearest, frame.read_depth, frame.depth_camera, distortion),
        read_labels={layer: partial(nearest, read) for layer, read in frame.read_labels.items()},
        read_mask=partial(
            nearest, frame.read_mask or partial(_nothing, frame.depth_camera), fill=True
        ),
    )


def source_pixels(camera: Camera, distortion: Distortion) -> np.ndarray:
    """Return (H,W,2) float32: where in the lens's image the pinhole's pixels are; NaN if nowhere.

    Pixels beyond the radius at which the polynomial turns back inwards are nowhere: it would show
    the middle of the image there once more. The array is shared, and not to be changed.
    """
    K = tuple(map(tuple, camera.K.astype(np.float64).tolist()))
    return _of_lens(K, camera.height, camera.width, distortion)


@lru_cache(maxsize=4)  # colour, depth and mask of the one lens that thousands of frames have
def _of_lens(
    K: tuple[tuple[float, ...], ...], height: int, width: int, distortion: Distortion
) -> np.ndarray:
    camera = Camera(np.array(K), width, height)
    radial = np.array(distortion.radial, dtype=np.float64)
    fold = _fold(camera, distortion.radial)
    return _source_pixels(camera.K, height, width, radial, distortion.tangential, fold)


def _read_bilinear(
    read: Callable[[], np.ndarray], camera: Camera, distortion: Distortion
) -> np.ndarray:
    pixels = read()
    return _sample_bilinear(
        np.ascontiguousarray(pixels), source_pixels(_of_size(pixels, camera), distortion)
    )


def _read_nearest(
    read: Callable[[], np.ndarray], camera: Camera, distortion: Distortion, fill: float = 0
) -> np.ndarray:
    pixels = read()
    return _sample_nearest(
        np.ascontiguousarray(pixels),
        source_pixels(_of_size(pixels, camera), distortion),
        pixels.dtype.type(fill),
    )


def _of_size(pixels: np.ndarray, camera: Camera) -> Camera:
    """The camera of an image that may be of another size (a mask, or a file that has changed)."""
    return camera.resized(*pixels.shape[:2])


def _nothing(camera: Camera) -> np.ndarray:
    return np.zeros((camera.height, camera.width), dtype=bool)


def _fold(camera: Camera, radial: tuple[float, ...]) -> float:
    """Return the square of the smallest radius at which r f(r²) does not grow."""
    center, size = camera.K[:2, 2], np.array([camera.width, camera.height])
    corner = np.maximum(np.abs(center), np.abs(size - center)) / camera.K[[0, 1], [0, 1]]
    farthest = np.square(corner).sum()
    squares = np.linspace(0, farthest, FOLD_SAMPLES)
    slope = [(2 * n + 1) * k for n, k in enumerate((1.0, *radial))]
    turned = np.flatnonzero(np.polynomial.polynomial.polyval(squares, slope) <= 0)
    return squares[turned[0]] if len(turned) else np.inf


@njit(cache=True)
def _source_pixels(K, height, width, radial, tangential, fold):
    p1, p2 = tangential
    source = np.empty((height, width, 2), dtype=np.float32)
    for i in range(height):
        y = (i + 0.5 - K[1, 2]) / K[1, 1]
        for j in range(width):
            x = (j + 0.5 - K[0, 2]) / K[0, 0]
            square = x * x + y * y
            factor = 0.0
            for k in radial[::-1]:
                factor = (factor + k) * square
            factor += 1.0
            u = x * factor + 2 * p1 * x * y + p2 * (square + 2 * x * x)
            v = y * factor + 2 * p2 * x * y + p1 * (square + 2 * y * y)
            u = u * K[0, 0] + K[0, 2]
            v = v * K[1, 1] + K[1, 2]
            if not (square < fold and 0 <= u <= width and 0 <= v <= height):
                u = v = np.nan
            source[i, j, 0] = u
            source[i, j, 1] = v
    return source


@njit(cache=True)
def _sample_bilinear(image, source):
    """Sample (H,W,C) uint8 at `source` (h,w,2); black where that is NaN."""
    height, width, channels = image.shape
    sampled = np.zeros((*source.shape[:2], channels), dtype=np.uint8)
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            if np.isnan(source[i, j, 0]):
                continue
            x = min(max(source[i, j, 0] - 0.5, 0.0), width - 1.0)
            y = min(max(source[i, j, 1] - 0.5, 0.0), height - 1.0)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = x - left, y - top
            for c in range(channels):
                above = image[top, left, c] * (1 - a) + image[top, right, c] * a
                below = image[bottom, left, c] * (1 - a) + image[bottom, right, c] * a
                sampled[i, j, c] = np.uint8(above * (1 - b) + below * b + 0.5)
    return sampled


@njit(cache=True)
def _sample_nearest(pixels, source, fill):
    """Sample (H,W) at `source` (h,w,2); `fill` where that is NaN."""
    height, width = pixels.shape
    sampled = np.full(source.shape[:2], fill, dtype=pixels.dtype)
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            if not np.isnan(source[i, j, 0]):
                row = min(int(source[i, j, 1]), height - 1)
                sampled[i, j] = pixels[row, min(int(source[i, j, 0]), width - 1)]
    return sampled
