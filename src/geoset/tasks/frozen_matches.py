"""Recalls of the matches of one scene, and pictures of them."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geoset.evaluation.correspondence import ANGLES, recall
from geoset.reports.figures import paint_features, tile
from geoset.reports.matches import draw_matches, similarity_row
from geoset.spacing import evenly_spaced
from geoset.tasks.correspondence import TrueMatches, find_matches, guesses
from geoset.tasks.labelled_cells import Features

DRAWN = 40  # matches of a pair
RIGHT = 10  # pixels up to which a drawn match is right
DRAWN_FRAMES = 4


def find_all(
    matches: TrueMatches, features: Mapping[str, Features], seed: int
) -> dict[str, Tensor]:
    """Return (N,2) pixels that guesses and features take for the matches, by name."""
    found = guesses(matches, seed)
    return found | {name: find_matches(each, matches) for name, each in features.items()}


def recalls(matches: TrueMatches, found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what JSON holds: how many matches and pairs by angle, and the recalls of each row."""
    rows = {}
    for name, pixels in found.items():
        errors = (pixels - matches.target).norm(dim=1)
        counted = recall(errors, matches.angle, matches.pair)
        # JSON has no NaN.
        share = [[None if s != s else round(s, 5) for s in row] for row in counted.share.tolist()]
        rows[name] = {"recall": share}
    return {
        "image_size": list(matches.size),
        "matches": counted.matches.tolist(),
        "pairs": counted.pairs.tolist(),
        "rows": rows,
    }


def draw_scene(
    matches: TrueMatches, found: Mapping[str, Tensor], features: Mapping[str, Features]
) -> dict[str, Image.Image]:
    """Draw networks side by side; found and features: theirs, by name.

    Returns "matches" of a pair of each bin of angles; "features" by principal components;
    "similarity" of a pixel with all cells of its view and of another.
    """
    rows = []
    for low, high in itertools.pairwise(ANGLES):
        inside = (matches.angle >= low) & (matches.angle < high)
        if inside.any():
            rows.append(_match_row(matches, found, inside, f"{low}-{high} degrees"))
    return {
        "matches": tile(rows),
        "features": tile(_feature_rows(matches, features)),
        "similarity": tile(_similarity_rows(matches, features)),
    }


def _match_row(
    matches: TrueMatches, found: Mapping[str, Tensor], inside: Tensor, angles: str
) -> list[tuple[str, np.ndarray]]:
    """Draw the same matches of the pair that has most of them inside, for each network."""
    pair = _fullest_pair(matches, inside)
    rows = (inside & (matches.pair == pair)).nonzero().squeeze(1)
    rows = rows[evenly_spaced(len(rows), DRAWN)]
    images = [matches.scene.image(i) for i in matches.frames[pair]]
    drawn = []
    for name, pixels in found.items():
        right = (pixels[rows] - matches.target[rows]).norm(dim=1) <= RIGHT
        picture = draw_matches(
            *images, matches.source[rows].numpy(), pixels[rows].numpy(), right.numpy()
        )
        drawn.append((f"{name}, {angles}: {int(right.sum())} of {len(rows)} right", picture))
    return drawn


def _feature_rows(
    matches: TrueMatches, features: Mapping[str, Features]
) -> list[list[tuple[str, np.ndarray]]]:
    """Draw a row for each of a few frames: the image, and a column for each network."""
    frames = np.unique(matches.frames)
    frames = frames[evenly_spaced(len(frames), DRAWN_FRAMES)]
    images = [matches.scene.image(i) for i in frames]
    columns = {"image": images} | {
        name: paint_features([_features(each, image) for image in images], images[0].shape[:2])
        for name, each in features.items()
    }
    return [[(name, column[i]) for name, column in columns.items()] for i in range(len(frames))]


def _similarity_rows(
    matches: TrueMatches, features: Mapping[str, Features]
) -> list[list[tuple[str, np.ndarray]]]:
    """Draw a row for each network, of one pixel and the pair that has most matches."""
    pair = _fullest_pair(matches, torch.ones_like(matches.pair).bool())
    images = [matches.scene.image(i) for i in matches.frames[pair]]
    source = matches.source[matches.pair == pair]
    pixel = source[(source - source.mean(dim=0)).norm(dim=1).argmin()].tolist()
    rows = []
    for name, each in features.items():
        row = similarity_row(images, [_features(each, image) for image in images], pixel)
        rows.append([(f"{name}: {caption}", picture) for caption, picture in row])
    return rows


def _fullest_pair(matches: TrueMatches, inside: Tensor) -> int:
    return int(torch.bincount(matches.pair[inside]).argmax())


def _features(features: Features, image: np.ndarray) -> np.ndarray:
    return features(torch.from_numpy(image).permute(2, 0, 1)[None])[0].float().cpu().numpy()
