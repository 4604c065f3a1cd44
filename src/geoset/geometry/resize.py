"""Images at another size."""

import numpy as np
from PIL import Image

from geoset.geometry.camera import Camera

ASPECT_TOLERANCE = 0.02  # 1296x968 and 640x480 are two sizes of one image


def resize_image(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """Resize what `box` (left, top, right, bottom) holds of an image (H,W,3) to `size` (H,W).

    The mean over the area of a pixel; bilinear when enlarged, where that would repeat pixels.
    """
    shrinks = box[2] - box[0] >= size[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size[::-1], how, box=box))


def every_nth_pixel(depth: np.ndarray, camera: Camera, longest: int) -> tuple[np.ndarray, Camera]:
    """Take every n-th pixel of a depth image (H,W), so that at most `longest` a side are left.

    Returns a view of the image, and its camera. Depths are not averaged: between two surfaces there
    is none.
    """
    step = -(-max(depth.shape) // longest)
    first = step // 2
    kept = depth[first::step, first::step]
    K = camera.K.copy()
    K[:2, 2] -= first + 0.5
    K[:2] /= step
    K[:2, 2] += 0.5
    return kept, Camera(K, kept.shape[1], kept.shape[0])


def same_aspect(shape: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether images of these sizes (H,W) can be two sizes of one."""
    (height, width), (other_height, other_width) = shape, other
    return abs(width / height * other_height / other_width - 1) <= ASPECT_TOLERANCE


def nearest_source_pixels(
    shape: tuple[int, int],
    image_shape: tuple[int, int],
    size: tuple[int, int] | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (h,1) and columns (w,) of an image that pixels of another fall on.

    shape: (H,W) of the image that they fall on, such as a label image
    image_shape: (H,W) of the other, which shows the same view
    box, size: the other is seen as `resize_image` makes it; None leaves it as it is
    """
    height, width = size or image_shape
    left, top, right, bottom = box or (0, 0, image_shape[1], image_shape[0])
    y = top + (np.arange(height) + 0.5) * (bottom - top) / height
    x = left + (np.arange(width) + 0.5) * (right - left) / width
    rows = np.floor(y * shape[0] / image_shape[0]).astype(np.int64)
    return rows[:, None], np.floor(x * shape[1] / image_shape[1]).astype(np.int64)
