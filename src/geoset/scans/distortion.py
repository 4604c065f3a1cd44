"""Lens distortion: images are resampled as they are read, to what a pinhole would have taken.

The model is that of OpenCV, which COLMAP's RADIAL and OPENCV cameras and nerfstudio share. Where a
pinhole sees (x, y) at z = 1, with r² = x² + y², the lens puts

    x' = x f + 2 p1 x y + p2 (r² + 2 x²)        f = 1 + k1 r² + k2 r⁴ + ...
    y' = y f + 2 p2 x y + p1 (r² + 2 y²)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numba import njit

from geoset.geometry.camera import Camera
from geoset.scans.scan import Frame

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
        read_mask=partial(nearest, frame.read_mask or partial(_nothing, frame.camera), fill=True),
    )


def source_pixels(camera: Camera, distortion: Distortion) -> np.ndarray:
    """Return (H,W,2) float32: where in the lens's image the pinhole's pixels are; NaN if nowhere.

    Pixels beyond the radius at which the polynomial turns back inwards are nowhere: it would show
    the middle of the image there once more.
    """
    return _source_pixels(
        camera.K,
        camera.height,
        camera.width,
        np.array(distortion.radial, dtype=np.float64),
        distortion.tangential,
        _fold(camera, distortion.radial),
    )


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
    corners = np.array([[0, 0], [camera.width, 0], [0, camera.height]]) - camera.K[:2, 2]
    farthest = 4 * np.square(corners / camera.K[[0, 1], [0, 1]]).sum(axis=1).max()
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
            x = min(max(source[i, j, 0] - np.float32(0.5), 0), width - 1)
            y = min(max(source[i, j, 1] - np.float32(0.5), 0), height - 1)
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
