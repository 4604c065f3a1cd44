"""Matches between frames of prepared scenes, and where features say that they are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from geoset.errors import GeosetError
from geoset.evaluation.correspondence import (
    features_at,
    nearest_pixels,
    viewing_angles,
)
from geoset.geometry.camera import transform
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.raycast import Raycaster
from geoset.losses import match_pixels
from geoset.prepare.pairs import mine_pairs, surface_cells
from geoset.prepare.scene import PreparedScene
from geoset.tasks.labelled_cells import Features

MIN_OVERLAP = 0.05  # of two frames: views from far apart share little
PAIRS = 200  # of frames of a scene, at most
SAMPLES = 500  # matches of a pair, at most
BLOCK = 16  # pairs matched at a time
CACHED = 32  # frames whose features are kept


@dataclass(frozen=True)
class TrueMatches:
    """N points of a scene's surface, each seen by both frames of a pair.

    frames: (P,2) int64, the pairs; pair: (N,) row of `frames`, ascending
    source, target: (N,2) float32 (x, y), pixel centre in the first frame and exact place in the
        second, in pixels of the stored size
    angle: (N,) float64 degrees at the point between the directions to the two cameras
    """

    scene: PreparedScene
    frames: np.ndarray
    pair: Tensor
    source: Tensor
    target: Tensor
    angle: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(H,W) of all frames."""
        height, width = self.scene.sizes[self.frames[0, 0]].tolist()
        return height, width


def chosen_frames(count: int, frames: str) -> np.ndarray:
    """Return the indices of `frames` among `count`: "all", or "every:5" for 0, 5, 10, ...

    Raises:
        GeosetError: it is neither, or less than two frames.
    """
    kind, _, step = frames.partition(":")
    if frames != "all" and not (kind == "every" and step.isdecimal() and int(step) > 0):
        raise GeosetError(f"frames is '{frames}', expected all, or every:5 for every fifth frame")
    chosen = np.arange(0, count, int(step or 1))
    if len(chosen) < 2:
        raise GeosetError(
            f"frames is '{frames}', which leaves {len(chosen)} of {count} frames, expected two or "
            "more: choose a smaller step, or all"
        )
    return chosen


def true_matches(
    scene: PreparedScene,
    frames: str = "every:5",
    *,
    pairs: int = PAIRS,
    samples: int = SAMPLES,
    seed: int = 0,
) -> TrueMatches:
    """Sample matches between the chosen frames, by depth and pose (see `match_pixels`).

    Scenes without depth images take the depth of their surface. Of upright and lying frames those
    take part that there are more of.

    pairs: of all that share 5 % of what the one that sees less sees, so many are drawn
    samples: of all matches of a pair, so many are drawn; of fewer, as many as there are, with
        replacement

    Raises:
        GeosetError: no two of the frames see a common point.
    """
    generator = torch.Generator().manual_seed(seed)
    candidates = _overlapping(scene, _of_one_size(scene, chosen_frames(len(scene), frames)))
    drawn = torch.randperm(len(candidates), generator=generator)[:pairs]
    candidates = candidates[drawn.sort().values.numpy()]
    depth_of = _depth_of(scene)
    parts = [
        _match(scene, depth_of, candidates[start : start + BLOCK], samples, generator)
        for start in range(0, len(candidates), BLOCK)
    ]
    counts, source, target, angle = (
        (torch.cat(column) for column in zip(*parts, strict=True)) if parts else [Tensor()] * 4
    )
    if not len(source):
        raise GeosetError(
            f"no two of the frames '{frames}' see a common point; choose more of them: --frames "
            "all, or a smaller step"
        )
    pair = torch.arange(len(candidates)).repeat_interleave(counts)
    return TrueMatches(scene, candidates, pair, source, target, angle)


def find_matches(features: Features, matches: TrueMatches) -> Tensor:
    """Return (N,2) where in the second frames the features are most like those of the source.

    Of all cells of the frame, the centre of the one with the largest cosine similarity, in pixels
    of the stored size.
    """
    scene, size = matches.scene, matches.size

    @lru_cache(maxsize=CACHED)
    def of_frame(i: int) -> Tensor:
        return features(torch.from_numpy(scene.image(i)).permute(2, 0, 1)[None])[0]

    found = torch.empty_like(matches.source)
    for row, (first, second) in enumerate(matches.frames.tolist()):
        mine = matches.pair == row
        queries = features_at(of_frame(first), matches.source[mine], size)
        found[mine] = nearest_pixels(queries, of_frame(second), size).cpu()
    return found


def guesses(matches: TrueMatches, seed: int = 0) -> dict[str, Tensor]:
    """Return what knows nothing of images: a pixel (N,2) for each match, by the guess's name."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(matches.source.shape, generator=generator)
    return {
        "chance: any pixel": drawn * torch.tensor(matches.size[::-1]),
        "the same pixel": matches.source,
    }


def _of_one_size(scene: PreparedScene, frames: np.ndarray) -> np.ndarray:
    _, number, count = np.unique(
        scene.sizes[frames], axis=0, return_inverse=True, return_counts=True
    )
    return frames[number.reshape(-1) == count.argmax()]


def _overlapping(scene: PreparedScene, frames: np.ndarray) -> np.ndarray:
    """Return (P,2) the pairs of `frames` that share MIN_OVERLAP of what they see."""
    cells = surface_cells(scene.vertices)
    seen = []
    for i in frames:
        vertex_map = scene.vertex_map(i)
        seen.append(np.unique(cells[vertex_map[vertex_map >= 0]]))
    return frames[mine_pairs(seen, MIN_OVERLAP)[0]]


def _depth_of(scene: PreparedScene) -> Callable[[int], np.ndarray]:
    if scene.has_depth:
        return scene.depth
    raycaster = Raycaster(TriangleMesh(scene.vertices, scene.faces))
    return lambda i: raycaster.cast(scene.camera(i), scene.world_from_camera(i))[1]


def _match(
    scene: PreparedScene,
    depth_of: Callable[[int], np.ndarray],
    pairs: np.ndarray,
    samples: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return how many matches each pair gives, and source, target and angle of them all."""
    views, index = np.unique(pairs, return_inverse=True)
    depth = np.stack([depth_of(i) for i in views])
    poses = np.stack([scene.world_from_camera(i) for i in views])
    found = match_pixels(
        torch.from_numpy(depth),
        torch.from_numpy(np.stack([scene.camera(i).K for i in views])),
        torch.from_numpy(poses),
        torch.from_numpy(index.reshape(pairs.shape)),
        samples=samples,
        generator=generator,
    )
    counts = found.available.clamp(max=samples)
    angles = []
    for (first, second), source, count in zip(
        index.reshape(pairs.shape), found.source, counts.tolist(), strict=True
    ):
        x, y = source[:count].long().numpy().T
        rays = scene.camera(views[first]).rays()[y, x]
        points = transform(poses[first], rays * depth[first, y, x, None])
        centers = (torch.from_numpy(poses[i, :3, 3]) for i in (first, second))
        angles.append(viewing_angles(torch.from_numpy(points), *centers))
    kept = torch.arange(samples) < counts[:, None]
    return counts, found.source[kept], found.target[kept], torch.cat(angles)
