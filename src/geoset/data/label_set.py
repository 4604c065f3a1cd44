"""What labelled data is: images with a class for every pixel, with instances, or with both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from geoset.errors import GeosetError
from geoset.scans.splits import Split

T = TypeVar("T")


class Instances(NamedTuple):
    """The K things in an image, each of one class.

    masks: (K,H,W) bool
    labels: (K,) int64, index into `instance_classes`
    areas: (K,) int64, their pixels in the label image, which may be of another size than the
        image, or None: those of the masks
    """

    masks: np.ndarray
    labels: np.ndarray
    areas: np.ndarray | None = None


class LabelledSet(Protocol):
    """Images with labels, read when asked for; label k is class k.

    classes: of `semantic`, () = none; instance_classes: of `instances`, () = none
    """

    name: str
    classes: tuple[str, ...]
    instance_classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def image_id(self, i: int) -> str:
        """Return a name that no other image of the set has."""

    def image(self, i: int) -> np.ndarray:
        """Return (H,W,3) uint8 RGB."""

    def semantic(self, i: int) -> np.ndarray:
        """Return the class of each pixel of the image, (H,W) int64, -1 = ignored."""

    def instances(self, i: int) -> Instances:
        """Return the instances of the image."""


class LabelSource(LabelledSet, Protocol):
    """A labelled set as its files hold it, with account of what is not used.

    skipped: how many images, scenes or annotations were left out, by reason
    """

    skipped: Mapping[str, int]

    def unknown_ids(self, i: int) -> dict[int, int]:
        """Return the ids in label image `i` that the layout does not know, and their pixels."""


@dataclass(frozen=True)
class Selection:
    """Which images of a data set.

    share: the first part of the images, by whole scenes in the order of the list (or by images
        where there are no scenes): the fewest scenes that hold at least this share
    split_file: a list of scenes or images to use instead of the one beside the data
    nyu_classes: 13 or 40, for NYUv2
    """

    split: Split
    share: float = 1.0
    split_file: Path | None = None
    nyu_classes: int = 13

    def __post_init__(self) -> None:
        if self.split not in ("train", "val", "test", "all"):
            raise GeosetError(f"split is '{self.split}', expected train, val, test or all")
        if not 0 < self.share <= 1:
            raise GeosetError(f"share is {self.share}, expected above 0 and at most 1 (1 = all)")
        if self.nyu_classes not in (13, 40):
            raise GeosetError(f"nyu_classes is {self.nyu_classes}, expected 13 or 40")

    def describe(self, layout: str) -> str:
        """Name a data set of this selection, such as "ScanNet train (20 % of the images)"."""
        part = f" ({100 * self.share:g} % of the images)" if self.share < 1 else ""
        return f"{layout} {self.split}{part}"

    def refuse_split_file(self, layout: str) -> None:
        """Raise GeosetError if there is a list that the layout has no use for."""
        if self.split_file is not None:
            raise GeosetError(
                f"{self.split_file}: {layout} brings its own splits; leave the list out"
            )


def first_share(scenes: Sequence[Sequence[T]], share: float) -> list[T]:
    """Return the images of the fewest first scenes that hold at least `share` of all images."""
    total = sum(len(scene) for scene in scenes)
    # 0.2 x 5 images shall be 1 image, whatever its binary digits say
    before = accumulate((len(scene) for scene in scenes), initial=0)
    taken = zip(scenes, before, strict=False)
    return [image for scene, n in taken if n < share * total - 1e-9 for image in scene]


def instances_from(
    labels: np.ndarray, numbers: np.ndarray, pixels: tuple = (slice(None), slice(None))
) -> Instances:
    """Make one instance of the pixels that agree in label and number.

    Args:
        labels: (h,w) class of each pixel, below 0 = none.
        numbers: (h,w) integers, 0 = no instance.
        pixels: index of (h,w) that gives (H,W), the size that masks are to have.
    """
    stride = int(numbers.max(initial=0)) + 1
    keys = labels * stride + numbers
    keys[(labels < 0) | (numbers == 0)] = -1
    keys = keys.ravel()
    # Of runs: far fewer to sort than pixels.
    starts = np.concatenate([[0], 1 + np.flatnonzero(keys[1:] != keys[:-1])])
    found, of_run = np.unique(keys[starts], return_inverse=True)
    lengths = np.diff(starts, append=len(keys))
    areas = np.bincount(of_run, lengths, len(found)).astype(np.int64)
    # A small type: it is compared with every instance.
    which = np.repeat(of_run.astype(np.min_scalar_type(len(found))), lengths)
    which = which.reshape(labels.shape)[pixels]
    (things,) = np.nonzero(found >= 0)
    masks = which == things.astype(which.dtype)[:, None, None]
    return Instances(masks, found[things] // stride, areas[things])
