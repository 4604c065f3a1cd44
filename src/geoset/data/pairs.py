"""Prepared scenes in, batches of overlapping view pairs out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geoset.data.loading import load
from geoset.errors import GeosetError
from geoset.prepare.groups import group_count, read_groups
from geoset.prepare.scene import PreparedScene, look_up
from geoset.prepare.transfer import at_once

SCENE_STRIDE = 2**32  # an id of a layer whose labels mean nothing in other scenes


@dataclass(frozen=True)
class PairBatch:
    """V = 2P views; pair p holds views 2p and 2p + 1.

    images: (V,3,H,W) uint8
    depth: (V,H,W) float32 metres, 0 = none; all 0 in scenes without depth images; None if not asked
        for
    K: (V,3,3) float64; world_from_camera: (V,4,4) float64
    view_pairs: (P,2) int64
    set_ids: for each layer (V,H,W) int64, unique over the data set, -1 = none
    group_ids: for each layer that has groups (V,H,W) int64, -1 = none
    views: (V,2) int64, scene (counted over the data set) and frame of each view
    frames: "scene/frame" of each view
    """

    images: Tensor
    depth: Tensor | None
    K: Tensor
    world_from_camera: Tensor
    view_pairs: Tensor
    set_ids: dict[str, Tensor]
    group_ids: dict[str, Tensor]
    views: Tensor
    frames: list[str]

    def describe(self) -> str:
        """Name the scenes and frames of the batch."""
        return ", ".join(self.frames)

    def __len__(self) -> int:
        return len(self.images)


class PairBatches(Dataset):
    """Batches by step: a function of (scenes, batch_pairs, seed, step) only.

    An epoch visits every pair once, in an order of its own; views of one batch have one size, and
    the pairs of an epoch that fill no whole batch wait for the next. Pairs of views of two sizes,
    one upright and one lying, are left out; `mixed` counts them. Each batch comes in `parts` equal
    ones: element `step * parts + part`.

    layers: labellings to load; where a scene lacks one, its views have no set of it
    groups: a grouping of the sets of one of the layers
    depth: load depth images
    heldout_every: pairs with a frame 0, N, 2N, ... of a scene are left out
    finish: called with each batch and its step by whoever loads it, such as a worker process; what
        it returns is the element

    Raises:
        GeosetError: a layer or the grouping cannot be read, or no scene has it; no scene has a
            pair; the parts are not equal.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        batch_pairs: int,
        seed: int,
        *,
        parts: int = 1,
        layers: Sequence[str] = ("geometric",),
        groups: str | None = None,
        depth: bool = True,
        heldout_every: int | None = None,
        finish: Callable[[PairBatch, int], Any] | None = None,
    ) -> None:
        if batch_pairs % parts:
            raise GeosetError(
                f"batch_pairs is {batch_pairs}, expected a multiple of {parts}: the devices, times "
                "the parts of a step (accumulate)"
            )
        self.scenes, self.batch_pairs, self.seed = scenes, batch_pairs, seed
        self.parts, self.depth, self.finish = parts, depth, finish
        # What is wrong with them shows here, not in a worker.
        self.layers = [_Layer(name, self.scenes) for name in layers]
        self.groups = _Groups(groups, self.scenes, layers) if groups else None
        pairs = at_once(lambda scene: scene.pairs, self.scenes)
        self.pairs = np.concatenate(
            [np.column_stack([np.full(len(p), index), p]) for index, p in enumerate(pairs)]
        ).astype(np.int64)
        if heldout_every:
            self.pairs = _not_held_out(self.pairs, heldout_every)
        size_of_pair, alike = self._sizes()
        self.pairs, self.mixed = self.pairs[alike], int((~alike).sum())
        if len(self.pairs) == 0:
            raise GeosetError(
                f"none of the {len(self.scenes)} prepared scenes has a pair of overlapping frames "
                "of one size; prepare again with a smaller --frame-step or --min-overlap"
            )
        self._size_of_pair = size_of_pair[alike]
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0))

    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a number for the image size of the first view of each pair, and whether both
        views have it, (P,) each.
        """
        sizes = [scene.sizes for scene in self.scenes]
        start = np.cumsum([0, *map(len, sizes)])
        _, number = np.unique(np.concatenate(sizes), axis=0, return_inverse=True)
        first, second = number.reshape(-1)[start[self.pairs[:, :1]] + self.pairs[:, 1:]].T
        return first, first == second

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every pair has been seen once."""
        counts = np.bincount(self._size_of_pair)
        return int(sum(max(1, count // self.batch_pairs) for count in counts if count))

    def __getitem__(self, element: int) -> Any:
        step, part = divmod(element, self.parts)
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        rows = self._epoch[1][position].reshape(self.parts, -1)[part]
        batch = self._load(self.pairs[rows])
        return self.finish(batch, step) if self.finish else batch

    def _order(self, epoch: int) -> np.ndarray:
        """Return (steps_per_epoch, batch_pairs) rows of `pairs`."""
        generator = np.random.default_rng((self.seed, epoch))
        batches = []
        for size in np.unique(self._size_of_pair):
            rows = generator.permutation(np.flatnonzero(self._size_of_pair == size))
            if len(rows) < self.batch_pairs:  # too few for one batch: some come twice
                rows = np.resize(rows, self.batch_pairs)
            whole = len(rows) // self.batch_pairs
            batches.append(rows[: whole * self.batch_pairs].reshape(whole, self.batch_pairs))
        return generator.permutation(np.concatenate(batches))

    def _load(self, rows: np.ndarray) -> PairBatch:
        views = [(scene, frame) for scene, first, second in rows for frame in (first, second)]
        both = [(self.scenes[scene], frame) for scene, frame in views]
        images = np.stack([scene.image(i) for scene, i in both])
        set_ids, group_ids = self._load_sets(views)
        return PairBatch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2),
            depth=_depth_of(both) if self.depth else None,
            K=torch.from_numpy(np.stack([scene.camera(i).K for scene, i in both])),
            world_from_camera=torch.from_numpy(
                np.stack([scene.world_from_camera(i) for scene, i in both])
            ),
            view_pairs=torch.arange(len(views)).reshape(-1, 2),
            set_ids=set_ids,
            group_ids=group_ids,
            views=torch.tensor(views),
            frames=[f"{scene.name}/{scene.frame_ids[i]}" for scene, i in both],
        )

    def _load_sets(
        self, views: list[tuple[int, int]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return `set_ids` and `group_ids` of a batch."""
        if not self.layers:
            return {}, {}
        maps = [(scene, self.scenes[scene].vertex_map(frame)) for scene, frame in views]
        set_ids = {
            layer.name: torch.from_numpy(np.stack([layer.ids(*each) for each in maps]))
            for layer in self.layers
        }
        if not self.groups:
            return set_ids, {}
        groups = [self.groups.ids(*each) for each in maps]
        return set_ids, {self.groups.layer: torch.from_numpy(np.stack(groups))}


def _depth_of(views: Sequence[tuple[PreparedScene, int]]) -> Tensor:
    depth = [
        scene.depth(i) if scene.has_depth else np.zeros(scene.sizes[i], np.float32)
        for scene, i in views
    ]
    return torch.from_numpy(np.stack(depth))


def _not_held_out(pairs: np.ndarray, every: int) -> np.ndarray:
    left = pairs[(pairs[:, 1:] % every > 0).all(axis=1)]
    if len(pairs) and not len(left):
        raise GeosetError(
            f"heldout_every={every} leaves out all {len(pairs)} pairs of frames; choose a larger "
            "number, so that frames between those held out overlap"
        )
    return left


class _Layer:
    """A labelling of the surfaces of all scenes; `absent` of them lack it."""

    def __init__(self, name: str, scenes: Sequence[PreparedScene]) -> None:
        self.name = name
        # Every scene lacks it: let the first one's error say which layers there are.
        has = at_once(lambda scene: scene.has_layer(name), scenes)
        have = {i: scene for i, scene in enumerate(scenes) if has[i]} or {0: scenes[0]}
        labels = at_once(lambda scene: scene.sets(name), have.values())
        self._labels = dict(zip(have, labels, strict=True))
        scopes = set(at_once(lambda scene: scene.scope(name), have.values()))
        if len(scopes) > 1:
            raise GeosetError(
                f"layer {name}: is of scope global in some scenes and of scope scene in others; "
                "make it again in all of them"
            )
        self._stride = SCENE_STRIDE if scopes == {"scene"} else 0
        self.absent = len(scenes) - len(have)

    def ids(self, scene: int, vertex_map: np.ndarray) -> np.ndarray:
        """Return the set of each pixel, (H,W) int64, unique over the data set, -1 = none."""
        if scene not in self._labels:
            return np.full(vertex_map.shape, -1, np.int64)
        labels = look_up(self._labels[scene], vertex_map).astype(np.int64)
        return np.where(labels >= 0, labels + scene * self._stride, -1)


class _Groups:
    """A grouping of the sets of all scenes."""

    def __init__(self, name: str, scenes: Sequence[PreparedScene], layers: Sequence[str]) -> None:
        group_count(scenes, name)  # raises unless it is one grouping of them all
        layer_and_groups = at_once(lambda scene: read_groups(scene, name), scenes)
        self.layer = layer_and_groups[0][0]
        if self.layer not in layers:
            raise GeosetError(
                f"groups {name}: are of the sets of layer '{self.layer}', which is not trained on "
                f"({', '.join(layers)}); give --layers {self.layer}, or other groups"
            )
        self._scenes = scenes
        self._groups = [groups for _, groups in layer_and_groups]

    def ids(self, scene: int, vertex_map: np.ndarray) -> np.ndarray:
        """Return the group of each pixel's set, (H,W) int64, -1 = none."""
        labels = look_up(self._scenes[scene].sets(self.layer), vertex_map)
        return look_up(self._groups[scene], labels).astype(np.int64)


def batches_from(
    batches: PairBatches,
    first: int,
    last: int,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
) -> Iterator[Any]:
    """Yield what this rank takes of steps `first` to `last` - 1, loaded ahead by `workers`.

    Of the `parts` of a step, each rank takes as many, in order.
    """
    each = batches.parts // ranks
    elements = [
        step * batches.parts + rank * each + part
        for step in range(first, last)
        for part in range(each)
    ]
    return load(batches, elements, workers, pin=torch.cuda.is_available())
