"""Labelled images in batches, and cells of their features with the labels they have."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geoset.data.labelled import LabelledImages
from geoset.errors import GeosetError

if TYPE_CHECKING:
    from geoset.data.labelled import LabelledSet

BATCH = 16  # images
CELL_SPACING = 4  # pixels between the cells that are learned from: nearer ones are alike

Labelled = Union[LabelledImages, "LabelledSet"]

Features = Callable[[Tensor], Tensor]
"""Images (B,3,H,W) uint8 to features (B,C,h,w)."""


def image_batches(
    labelled: Labelled, image_size: tuple[int, int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (B,3,H,W) uint8 and their labels (B,H,W) int64, resized where asked.

    Raises:
        GeosetError: images of several sizes are to be left as they are.
    """
    if isinstance(labelled, LabelledImages):
        yield from zip(labelled.images.split(BATCH), labelled.labels.split(BATCH), strict=True)
        return
    for start in range(0, len(labelled), BATCH):
        rows = range(start, min(start + BATCH, len(labelled)))
        images = [_resized(labelled.image(i), image_size, Image.Resampling.BILINEAR) for i in rows]
        # Labels from -1 and below 2**31, in a mode that PIL can resize.
        labels = [
            _resized(labelled.semantic(i).astype(np.int32), image_size, Image.Resampling.NEAREST)
            for i in rows
        ]
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            raise GeosetError(
                f"{labelled.name}: images of {' and '.join(f'{h}x{w}' for h, w in sorted(sizes))}; "
                "expected one size: give image_size, such as 240 320"
            )
        yield (
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(labels)).long(),
        )


def labelled_cells(
    features: Features,
    labelled: Labelled,
    image_size: tuple[int, int] | None,
    limit: int,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return features (N,C) and labels (N,) of labelled cells: of all, or of `limit` drawn ones.

    A cell has the label of its centre pixel.

    Raises:
        GeosetError: no cell has a label.
    """
    in_memory = isinstance(labelled, LabelledImages)
    images_left = len(labelled.images if in_memory else labelled)
    generator, left = torch.Generator().manual_seed(seed), limit
    xs, ys = [], []
    for images, labels in image_batches(labelled, image_size):
        found = features(images)
        height, width = found.shape[-2:]
        rows = ((torch.arange(height) + 0.5) * labels.shape[1] / height).long()
        columns = ((torch.arange(width) + 0.5) * labels.shape[2] / width).long()
        step = max(1, CELL_SPACING * width // labels.shape[2])
        y = labels[:, rows[::step]][:, :, columns[::step]].flatten()
        cells = (y >= 0).nonzero().squeeze(1)
        share = -(-left * len(images) // images_left)  # of what the images to come may give
        if len(cells) > share:
            cells = cells[torch.randperm(len(cells), generator=generator)[:share]]
        flat = found[..., ::step, ::step].movedim(1, -1).flatten(0, 2)
        xs.append(flat[cells.to(flat.device)].float())
        ys.append(y[cells].to(flat.device))
        left, images_left = left - len(cells), images_left - len(images)
    if not sum(map(len, ys)):
        raise GeosetError(
            "no cell of the labelled images has a label; expected some: look at the label images, "
            "and at which of their ids are classes"
        )
    return torch.cat(xs), torch.cat(ys)


def _resized(
    pixels: np.ndarray, size: tuple[int, int] | None, method: Image.Resampling
) -> np.ndarray:
    if size is None or pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], method))
