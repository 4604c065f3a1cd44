"""Images at another size."""

import numpy as np
from PIL import Image

from geoset.geometry.camera import Camera


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
