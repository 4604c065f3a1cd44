"""Labelled images at one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoset.data.label_set import Instances, LabelledSet
from geoset.errors import GeosetError
from geoset.geometry.resize import resize_image


@dataclass(frozen=True)
class ResizedSet:
    """A labelled set whose images all have `size`, (H,W); see `resized`."""

    source: LabelledSet
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """The set's name, with the size."""
        return f"{self.source.name} at {self.size[0]}x{self.size[1]}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the set."""
        return self.source.classes

    @property
    def instance_classes(self) -> tuple[str, ...]:
        """Those of the set."""
        return self.source.instance_classes

    def __len__(self) -> int:
        return len(self.source)

    def image_id(self, i: int) -> str:
        """Return the name of the image in the set."""
        return self.source.image_id(i)

    def image(self, i: int) -> np.ndarray:
        """Return (H,W,3) uint8 RGB: the mean over the area of a pixel; bilinear when enlarged."""
        image = self.source.image(i)
        if image.shape[:2] == self.size:
            return image
        return resize_image(image, self.size, window(image.shape[:2], self.size))

    def semantic(self, i: int) -> np.ndarray:
        """Return the class of each pixel, (H,W) int64: that of its centre; -1 = ignored."""
        return self._nearest(self.source.semantic(i))

    def instances(self, i: int) -> Instances:
        """Return the instances that have a pixel left; areas stay those of the label image."""
        masks, labels, areas = self.source.instances(i)
        if areas is None:
            areas = np.count_nonzero(masks, axis=(1, 2))
        masks = self._nearest(masks)
        left = masks.any(axis=(1, 2))
        return Instances(masks[left], labels[left], areas[left])

    def _nearest(self, labels: np.ndarray) -> np.ndarray:
        """Sample the last two axes at the centres of the new pixels."""
        left, top, right, bottom = window(labels.shape[-2:], self.size)
        height, width = self.size
        rows = top + (np.arange(height) + 0.5) * (bottom - top) / height
        columns = left + (np.arange(width) + 0.5) * (right - left) / width
        return labels[..., rows.astype(np.int64)[:, None], columns.astype(np.int64)]


def resized(labelled: LabelledSet, size: tuple[int, int]) -> ResizedSet:
    """Scale each image until it covers `size` (H,W) and keep the middle, as prepared scenes do.

    Unlike there, portrait images are not kept upright: theirs is the middle of that size, too, so
    that images make batches.

    Raises:
        GeosetError: the size is not two numbers of 1 or more.
    """
    if len(size) != 2 or min(size) < 1:
        raise GeosetError(f"size is {size}, expected height and width, such as 240 320")
    return ResizedSet(labelled, tuple(size))


def window(shape: Sequence[int], size: Sequence[int]) -> tuple[float, float, float, float]:
    """Return the middle of an image of `shape` (h,w) that has the aspect of `size` (H,W).

    The window is (left, top, right, bottom) in pixels of the image, and as large as fits.
    """
    scale = max(size[0] / shape[0], size[1] / shape[1])
    # never larger than the image, not even by rounding
    height, width = min(size[0] / scale, shape[0]), min(size[1] / scale, shape[1])
    top, left = (shape[0] - height) / 2, (shape[1] - width) / 2
    return left, top, left + width, top + height
