"""Colour images at another size."""

import numpy as np
from PIL import Image


def resize_image(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """Resize what `box` (left, top, right, bottom) holds of an image (H,W,3) to `size` (H,W).

    The mean over the area of a pixel; bilinear when enlarged, where that would repeat pixels.
    """
    shrinks = box[2] - box[0] >= size[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size[::-1], how, box=box))
