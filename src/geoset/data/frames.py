"""Shuffled frames of prepared scenes, two crops of each: what MoCo compares."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene

QUERY, KEY, SHUFFLE = 1, 2, 3  # sets random numbers apart
RATIOS = 3 / 4, 4 / 3
TRIES = 10


class FrameBatch(NamedTuple):
    """What one of the parts of a step sees: B queries, and B keys in an order of their own.

    Queries and keys of a whole step are of the same frames, but a key's neighbours are not its
    query's: statistics that BatchNorm takes of neighbours do not give away what belongs together
    (shuffling BN, He et al. 2020, Sec. 3.3).

    queries, keys: (B,3,h,w) uint8
    key_of_query: (B,) int64, row of each query's key among those of all parts in their order
    frames: "scene/frame" of each query
    """

    queries: Tensor
    keys: Tensor
    key_of_query: Tensor
    frames: list[str]

    def describe(self) -> str:
        """Name the scenes and frames of the batch."""
        return ", ".join(self.frames)


class FrameBatches(Dataset):
    """Batches by step: a function of (scenes, batch, crop, seed, step) only.

    An epoch visits every frame once, in an order of its own; those that fill no whole batch wait
    for the next. Each batch comes in `parts` equal ones: element `step * parts + part`. A crop
    holds a share of its frame within `scale` at a ratio of 3:4 to 4:3, is brought to `crop` (h,w),
    and mirrored half of the time.

    Raises:
        GeosetError: there is no frame, or the parts are not equal.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        batch: int,
        crop: tuple[int, int],
        scale: tuple[float, float],
        seed: int,
        *,
        parts: int = 1,
    ) -> None:
        if batch % parts:
            raise GeosetError(f"batch is {batch}, expected a multiple of {parts}: the devices")
        self.scenes, self.batch, self.crop, self.scale = scenes, batch, crop, scale
        self.seed, self.parts = seed, parts
        self.frames = np.array(
            [(index, i) for index, scene in enumerate(scenes) for i in range(len(scene))]
        )
        if len(self.frames) == 0:
            raise GeosetError(
                f"none of the {len(scenes)} prepared scenes has a frame; prepare again, and look "
                "into report.json for what was rejected"
            )
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0))

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every frame has been seen once."""
        return max(1, len(self.frames) // self.batch)

    def __getitem__(self, element: int) -> FrameBatch:
        step, part = divmod(element, self.parts)
        size = self.batch // self.parts
        mine = slice(part * size, (part + 1) * size)
        frames = self._frames_of(step)
        order = np.random.default_rng((self.seed, step, 0, SHUFFLE)).permutation(self.batch)
        places, key_places = np.arange(self.batch)[mine], order[mine]
        wanted = {tuple(frames[place].tolist()) for place in (*places, *key_places)}
        images = {(scene, i): self.scenes[scene].image(i) for scene, i in wanted}

        def crops(places: np.ndarray, kind: int) -> Tensor:
            return torch.stack(
                [
                    self._crop(
                        images[tuple(frames[place].tolist())],
                        np.random.default_rng((self.seed, step, place, kind)),
                    )
                    for place in places.tolist()
                ]
            )

        return FrameBatch(
            queries=crops(places, QUERY),
            keys=crops(key_places, KEY),
            key_of_query=torch.from_numpy(np.argsort(order)[mine]),
            frames=[
                f"{self.scenes[scene].name}/{self.scenes[scene].frame_ids[i]}"
                for scene, i in frames[mine].tolist()
            ],
        )

    def _frames_of(self, step: int) -> np.ndarray:
        """Return (batch,2), scene and frame of what a step sees."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.frames))
            if len(order) < self.batch:  # too few for one batch: some come twice
                order = np.resize(order, self.batch)
            self._epoch = (epoch, order)
        return self.frames[self._epoch[1][position * self.batch :][: self.batch]]

    def _crop(self, image: np.ndarray, generator: np.random.Generator) -> Tensor:
        """Return a crop (3,h,w) of an image (H,W,3)."""
        top, left, height, width = draw_crop(image.shape[:2], self.scale, generator)
        cut = torch.from_numpy(image[top : top + height, left : left + width].copy())
        cut = cut.permute(2, 0, 1)[None]
        cut = F.interpolate(cut, self.crop, mode="bilinear", antialias=True)[0]
        return cut.flip(-1) if generator.random() < 0.5 else cut


def draw_crop(
    size: tuple[int, int], scale: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw top, left, height and width of a crop of an image of `size` (H,W).

    As in torchvision's RandomResizedCrop: an area, in shares of the image, uniform over `scale`,
    and a ratio log-uniform over 3:4 to 4:3; after ten that do not fit, the whole image.
    """
    for _ in range(TRIES):
        area = size[0] * size[1] * generator.uniform(*scale)
        ratio = math.exp(generator.uniform(*map(math.log, RATIOS)))
        height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < height <= size[0] and 0 < width <= size[1]:
            top = int(generator.integers(size[0] - height + 1))
            return top, int(generator.integers(size[1] - width + 1)), height, width
    return 0, 0, *size
