"""Labelled images in batches, and cells of their features with the labels they have."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError

BATCH = 16  # images
CELL_SPACING = 4  # pixels between the cells that are learned from: nearer ones are alike

Features = Callable[[Tensor], Tensor]
"""Images (B,3,H,W) uint8 to features (B,C,h,w)."""


def image_batches(labelled: LabelledSet) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (B,3,H,W) uint8 and their labels (B,H,W) int64.

    Raises:
        GeosetError: images of a batch differ in size.
    """
    for start in range(0, len(labelled), BATCH):
        rows = range(start, min(start + BATCH, len(labelled)))
        images = stack_images([labelled.image(i) for i in rows], labelled.name)
        labels = np.stack([labelled.semantic(i) for i in rows])
        yield images, torch.from_numpy(labels)


def stack_images(images: Sequence[np.ndarray], name: str) -> Tensor:
    """Return images (H,W,3) uint8 as one (B,3,H,W).

    Raises:
        GeosetError: they differ in size; `name` says whose they are.
    """
    sizes = sorted({image.shape[:2] for image in images})
    if len(sizes) > 1:
        raise GeosetError(
            f"{name}: has images of {' and '.join(f'{h}x{w}' for h, w in sizes)}, expected one "
            "size: give an image size, such as 240 320"
        )
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def labelled_cells(
    features: Features, labelled: LabelledSet, limit: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return features (N,C) and labels (N,) of labelled cells: of all, or of `limit` drawn ones.

    A cell has the label of its centre pixel.

    Raises:
        GeosetError: no cell has a label.
    """
    generator = torch.Generator().manual_seed(seed)
    left, images_left = limit, len(labelled)
    xs, ys = [], []
    for images, labels in image_batches(labelled):
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
