"""Prepared scenes in, batches of overlapping view pairs out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene, look_up

SCENE_STRIDE = 2**32  # a set id in a batch is scene_index * 2**32 + label


@dataclass(frozen=True)
class PairBatch:
    """V = 2P views; pair p holds views 2p and 2p + 1.

    images: (V,3,H,W) uint8
    depth: (V,H,W) float32 metres, 0 = none; all 0 in scenes without depth images
    K: (V,3,3) float64; world_from_camera: (V,4,4) float64
    labels: (V,H,W) int32, labels of the layer; scene_index: (V,) int64 over the data set
    view_pairs: (P,2) int64
    frames: "scene/frame" of each view
    """

    images: torch.Tensor
    depth: torch.Tensor
    K: torch.Tensor
    world_from_camera: torch.Tensor
    labels: torch.Tensor
    scene_index: torch.Tensor
    view_pairs: torch.Tensor
    frames: list[str]

    def set_ids(self) -> torch.Tensor:
        """Return (V,H,W) int64 set ids, unique over the data set, -1 = none."""
        labels = self.labels.long()
        ids = labels + SCENE_STRIDE * self.scene_index[:, None, None]
        return torch.where(labels >= 0, ids, labels)

    def to(self, device: torch.device) -> "PairBatch":
        """Return the batch on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "PairBatch":
        """Return the batch in page-locked memory (called by DataLoader)."""
        return self._map(torch.Tensor.pin_memory)

    def describe(self) -> str:
        """Name the scenes and frames of the batch."""
        return ", ".join(self.frames)

    def __len__(self) -> int:
        return len(self.images)

    def _map(self, change) -> "PairBatch":
        tensors = {
            f.name: change(getattr(self, f.name))
            for f in fields(self)
            if isinstance(getattr(self, f.name), torch.Tensor)
        }
        return replace(self, **tensors)


class PairBatches(Dataset):
    """Batches by step: element s is a function of (scenes, batch_pairs, seed, s) only.

    An epoch visits every pair once, in an order of its own; views of one batch have one size, and
    the pairs of an epoch that fill no whole batch wait for the next.

    Raises:
        GeosetError: a scene cannot be read or lacks the layer, or none has a pair.
    """

    def __init__(
        self, scenes: Sequence[Path], batch_pairs: int, seed: int, layer: str = "geometric"
    ) -> None:
        self.scenes = [PreparedScene(path) for path in scenes]
        self.batch_pairs, self.seed, self.layer = batch_pairs, seed, layer
        for scene in self.scenes:
            scene.sets(layer)  # what is wrong with it shows here, not in a worker
        self.pairs = np.concatenate(
            [
                np.column_stack([np.full(len(scene.pairs), index), scene.pairs])
                for index, scene in enumerate(self.scenes)
            ]
        ).astype(np.int64)
        if len(self.pairs) == 0:
            raise GeosetError(
                f"none of the {len(self.scenes)} prepared scenes has a pair of overlapping frames; "
                "prepare again with a smaller --frame-step or --min-overlap"
            )
        first_camera = [scene.camera(0) for scene in self.scenes]
        sizes = np.array([(camera.height, camera.width) for camera in first_camera])
        _, self._size_of_scene = np.unique(sizes, axis=0, return_inverse=True)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0))

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every pair has been seen once."""
        counts = np.bincount(self._size_of_scene[self.pairs[:, 0]].reshape(-1))
        return int(sum(max(1, count // self.batch_pairs) for count in counts if count))

    def __getitem__(self, step: int) -> PairBatch:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self._load(self.pairs[self._epoch[1][position]])

    def _order(self, epoch: int) -> np.ndarray:
        """Return (steps_per_epoch, batch_pairs) rows of `pairs`."""
        generator = np.random.default_rng((self.seed, epoch))
        size_of_pair = self._size_of_scene[self.pairs[:, 0]].reshape(-1)
        batches = []
        for size in np.unique(size_of_pair):
            rows = generator.permutation(np.flatnonzero(size_of_pair == size))
            if len(rows) < self.batch_pairs:  # too few for one batch: some come twice
                rows = np.resize(rows, self.batch_pairs)
            whole = len(rows) // self.batch_pairs
            batches.append(rows[: whole * self.batch_pairs].reshape(whole, self.batch_pairs))
        return generator.permutation(np.concatenate(batches))

    def _load(self, rows: np.ndarray) -> PairBatch:
        views = [(scene, frame) for scene, first, second in rows for frame in (first, second)]
        scenes = [self.scenes[scene] for scene, _ in views]
        frames = [frame for _, frame in views]
        both = list(zip(scenes, frames, strict=True))
        images = np.stack([scene.image(i) for scene, i in both])
        depth = [
            scene.depth(i) if scene.has_depth else np.zeros(images.shape[1:3], np.float32)
            for scene, i in both
        ]
        labels = [look_up(scene.sets(self.layer), scene.vertex_map(i)) for scene, i in both]
        return PairBatch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2),
            depth=torch.from_numpy(np.stack(depth)),
            K=torch.from_numpy(np.stack([scene.camera(i).K for scene, i in both])),
            world_from_camera=torch.from_numpy(
                np.stack([scene.world_from_camera(i) for scene, i in both])
            ),
            labels=torch.from_numpy(np.stack(labels).astype(np.int32)),
            scene_index=torch.tensor([scene for scene, _ in views]),
            view_pairs=torch.arange(len(views)).reshape(-1, 2),
            frames=[f"{scene.name}/{scene.frame_ids[i]}" for scene, i in both],
        )


def batches_from(
    batches: PairBatches, first: int, last: int, rank: int = 0, ranks: int = 1, workers: int = 0
) -> Iterator[PairBatch]:
    """Yield this rank's batches of steps `first` to `last` - 1, loaded ahead by `workers`."""
    steps = range(first * ranks + rank, last * ranks, ranks)
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=2 if workers else None,
        )
    )
