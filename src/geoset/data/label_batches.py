"""Labelled images in, batches for training and for evaluation out."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geoset.data.augment import gaussian_blur
from geoset.data.label_resize import resized
from geoset.data.label_set import Instances, LabelledSet
from geoset.errors import GeosetError

FLIP_PROBABILITY = 0.5
BLUR_PROBABILITY, BLUR_SIGMA = 0.5, (0.1, 2.0)  # as in pre-training
AUGMENTATION = 1  # sets these random numbers apart from those of the order

Augmentation = Literal["none", "flip_blur"]
Target = dict[str, Tensor]
T = TypeVar("T")


class LabelBatches(Dataset):
    """Batches by step: a function of (data, batch size, seed, step) only.

    Every image comes once an epoch, each epoch in an order of its own; where an epoch ends inside a
    batch, the next one fills it. Each batch comes in `parts` equal ones: element
    `step * parts + part`.

    Raises:
        GeosetError: there is no image, or the parts are not equal.
    """

    def __init__(self, labelled: LabelledSet, batch: int, seed: int, *, parts: int = 1) -> None:
        if batch < 1 or batch % parts:
            raise GeosetError(
                f"batch is {batch}, expected a multiple of {parts}: the devices, times the parts "
                "of a step (accumulate)"
            )
        if len(labelled) == 0:
            raise GeosetError(f"{labelled.name}: has no image; choose another split or share")
        self.labelled, self.batch, self.seed, self.parts = labelled, batch, seed, parts
        self.images = np.arange(len(labelled))

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every image has been seen once."""
        return math.ceil(len(self.images) / self.batch)

    def __getitem__(self, element: int) -> Any:
        step, part = divmod(element, self.parts)
        size = self.batch // self.parts
        images = self.images_of_step(step)[part * size :][:size]
        return self._collate(
            [
                self._load(image, np.random.default_rng((self.seed, step, position, AUGMENTATION)))
                for position, image in enumerate(images.tolist(), part * size)
            ]
        )

    def images_of_step(self, step: int) -> np.ndarray:
        """Return (batch,) which images of the set make the batch of a step."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs, places = np.divmod(positions, len(self.images))
        chosen = np.empty_like(positions)
        for epoch in np.unique(epochs):
            order = np.random.default_rng((self.seed, int(epoch))).permutation(self.images)
            chosen[epochs == epoch] = order[places[epochs == epoch]]
        return chosen

    def _load(self, image: int, generator: np.random.Generator) -> Any:
        raise NotImplementedError

    def _collate(self, loaded: list[Any]) -> Any:
        raise NotImplementedError


class SegmentationBatches(LabelBatches):
    """Batches of images uint8 (B,3,H,W) and labels int64 (B,H,W), -1 = ignored.

    augmentation: "flip_blur" mirrors half of the images and blurs half of them, drawn from
        (seed, step, position)
    size: (H,W) that images are brought to (see `resized`); None = all have one size

    Raises:
        GeosetError: as for `LabelBatches`; the augmentation is unknown.
    """

    def __init__(
        self,
        labelled: LabelledSet,
        batch: int,
        seed: int,
        *,
        parts: int = 1,
        augmentation: Augmentation = "none",
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            labelled if size is None else resized(labelled, size), batch, seed, parts=parts
        )
        if augmentation not in ("none", "flip_blur"):
            raise GeosetError(f"augmentation is '{augmentation}', expected none or flip_blur")
        self.augmentation = augmentation

    def _load(self, image: int, generator: np.random.Generator) -> tuple[str, Tensor, Tensor]:
        name, pixels, labels = _image_and_labels(self.labelled, image)
        if self.augmentation == "flip_blur":
            if generator.random() < FLIP_PROBABILITY:
                pixels, labels = pixels.flip(-1), labels.flip(-1)
            if generator.random() < BLUR_PROBABILITY:
                pixels = _blur(pixels, generator.uniform(*BLUR_SIGMA))
        return name, pixels, labels

    def _collate(self, loaded: list[tuple[str, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return _stack(loaded)


class EvaluationBatches(Dataset):
    """This rank's images of a set in order, in batches as `SegmentationBatches` makes them.

    The last batch may be smaller.

    size: (H,W) that images are brought to (see `resized`); None = all have one size
    """

    def __init__(
        self,
        labelled: LabelledSet,
        batch: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.labelled = labelled if size is None else resized(labelled, size)
        images = shard(len(labelled), rank, ranks)
        self.batches = [images[k : k + batch] for k in range(0, len(images), batch)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        if k >= len(self.batches):
            raise IndexError(k)
        return _stack([_image_and_labels(self.labelled, image) for image in self.batches[k]])


class InstanceBatches(LabelBatches):
    """Batches for torchvision's Mask R-CNN: (images, targets), a list of each.

    images: (3,H,W) uint8 each, of any sizes
    targets: of the K instances, boxes (K,4) float32 (x0, y0, x1, y1) in pixels, whose edges touch
        the mask's outermost pixels; labels (K,) int64, from 1; masks (K,H,W) uint8

    flip: mirror half of the images, drawn from (seed, step, position)
    min_pixels: instances of fewer pixels in the label image are left out
    watch: is given what comes of all images, read once at the start, and passes it on
    dropped: how many instances and images are left out, by reason; an image without an instance is

    Raises:
        GeosetError: as for `LabelBatches`; the set has no instance classes, or no image has an
            instance left.
    """

    def __init__(
        self,
        labelled: LabelledSet,
        batch: int,
        seed: int,
        *,
        parts: int = 1,
        flip: bool = True,
        min_pixels: int = 1,
        watch: Callable[[Iterator[T]], Iterable[T]] = iter,
    ) -> None:
        super().__init__(labelled, batch, seed, parts=parts)
        if not labelled.instance_classes:
            raise GeosetError(
                f"{labelled.name}: has no instance classes; expected data with instance images, "
                "or COCO annotations"
            )
        self.flip, self.min_pixels = flip, max(1, min_pixels)
        with ThreadPoolExecutor() as threads:
            count = threads.map(lambda i: areas_of(labelled.instances(i)), self.images.tolist())
            areas = list(watch(count))
        small = [np.count_nonzero(of_image < self.min_pixels) for of_image in areas]
        left = np.array([len(of_image) for of_image in areas]) > small
        self.images = self.images[left]
        self.dropped = {
            f"instance of fewer than {self.min_pixels} pixels": int(sum(small)),
            "image without an instance": int(np.count_nonzero(~left)),
        }
        if not left.any():
            raise GeosetError(
                f"{labelled.name}: none of the {len(labelled)} images has an instance of "
                f"{self.min_pixels} pixels or more ({sum(small)} are smaller); give label images "
                "that are larger or have instances; --protocol strict takes them of any size"
            )

    def _load(self, image: int, generator: np.random.Generator) -> tuple[Tensor, Target]:
        pixels = _to_tensor(self.labelled.image(image))
        instances = self.labelled.instances(image)
        kept = areas_of(instances) >= self.min_pixels
        masks = torch.from_numpy(instances.masks[kept]).to(torch.uint8)
        if self.flip and generator.random() < FLIP_PROBABILITY:
            pixels, masks = pixels.flip(-1), masks.flip(-1)
        target = {
            "boxes": boxes_of(masks),
            "labels": torch.from_numpy(instances.labels[kept]) + 1,
            "masks": masks,
        }
        return pixels, target

    def _collate(self, loaded: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
        images, targets = zip(*loaded, strict=True)
        return list(images), list(targets)


def shard(count: int, rank: int, ranks: int) -> range:
    """Return which of `count` images a rank evaluates: each is of exactly one rank."""
    return range(rank, count, ranks)


def boxes_of(masks: Tensor) -> Tensor:
    """Return (K,4) float32, x0, y0, x1, y1 of the outer edges of the pixels of masks (K,H,W)."""
    sides = []
    for seen in (masks.amax(dim=1), masks.amax(dim=2)):  # columns, then rows
        seen = seen.bool().int()
        sides += [seen.argmax(dim=1), seen.shape[1] - seen.flip(1).argmax(dim=1)]
    x0, x1, y0, y1 = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def areas_of(instances: Instances) -> np.ndarray:
    """Return (K,) the pixels of each instance in its label image; 0 where the image has none."""
    masks, _, areas = instances
    if areas is None:
        return np.count_nonzero(masks, axis=(1, 2))
    return np.where(masks.any(axis=(1, 2)), areas, 0)


def _to_tensor(image: np.ndarray) -> Tensor:
    """Return (3,H,W) of an image (H,W,3)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _image_and_labels(labelled: LabelledSet, i: int) -> tuple[str, Tensor, Tensor]:
    """Return the name, (3,H,W) and (H,W) of an image."""
    image, labels = labelled.image(i), labelled.semantic(i)
    if image.shape[:2] != labels.shape:
        raise GeosetError(
            f"{labelled.name}: image {labelled.image_id(i)} is {image.shape[1]}x{image.shape[0]}, "
            f"its labels are {labels.shape[1]}x{labels.shape[0]}; expected one size"
        )
    return labelled.image_id(i), _to_tensor(image), torch.from_numpy(labels)


def _stack(loaded: Sequence[tuple[str, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return images (B,3,H,W) and labels (B,H,W)."""
    names, images, labels = zip(*loaded, strict=True)
    for name, image in zip(names, images, strict=True):
        if image.shape != images[0].shape:
            raise GeosetError(
                f"image {names[0]} is {images[0].shape[2]}x{images[0].shape[1]}, {name} is "
                f"{image.shape[2]}x{image.shape[1]}; expected one size in a batch: give a size, "
                "such as 240 320"
            )
    return torch.stack(images), torch.stack(labels)


def _blur(pixels: Tensor, sigma: float) -> Tensor:
    """Blur an image (3,H,W) uint8 by a Gaussian of `sigma` pixels."""
    radius = math.ceil(3 * BLUR_SIGMA[1])
    blurred = gaussian_blur(pixels[None].float(), torch.tensor([sigma]), radius)
    return blurred[0].round().to(torch.uint8)
