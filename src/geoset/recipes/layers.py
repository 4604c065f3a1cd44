"""Which layers and groupings to make of prepared scenes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geoset.errors import GeosetError

NEED_ARGUMENT = ("layer", "features", "file")  # behind a colon
GROUPED_BY = ("geometry", "random", *NEED_ARGUMENT)


@dataclass(frozen=True)
class LayerSettings:
    """Which layers to add; one of threshold, labels and images."""

    threshold: tuple[float, ...] = ()
    """over-segment at these values of k (larger gives larger sets): layers geometric-K"""
    min_vertices: int = 20
    """for --threshold: smaller sets are merged; other than 20 makes layers geometric-K-N"""
    labels: Path | None = None
    """folder of <scene>.npy, one integer a vertex of the prepared surface or of the scan's mesh"""
    images: Literal["semantic", "instance"] | None = None
    """ground truth from the scan's own label images, by majority vote"""
    name: str | None = None
    """what the layer is called; labels need one, images have the default semantic or instance"""
    scope: Literal["scene", "global"] | None = None
    """for --labels: an id means the same in every scene (global), or not (scene, as none)"""

    def __post_init__(self) -> None:
        given = [key for key in ("threshold", "labels", "images") if getattr(self, key)]
        if len(given) != 1:
            raise GeosetError(
                f"layers are asked by {' and '.join(given) or 'nothing'}, expected one of "
                "--threshold K..., --labels FOLDER --name NAME and --images semantic|instance"
            )
        if self.name is not None:
            _check_name(self.name)
        if (self.labels is not None) and self.name is None:
            raise GeosetError("labels need a name for their layer: add --name NAME")
        if self.threshold and self.name is not None:
            raise GeosetError(
                f"the name is '{self.name}', but layers of thresholds are called geometric-K; "
                "leave --name out"
            )
        if self.labels is None and self.scope is not None:
            raise GeosetError(
                f"the scope is '{self.scope}', but only --labels has a choice of it; leave --scope "
                "out"
            )


@dataclass(frozen=True)
class GroupSettings:
    """Which sets of different scenes are alike."""

    by: str = "geometry"
    """what is alike: geometry, features:CKPT, layer:NAME, file:FOLDER or random"""
    name: str | None = None
    """what the grouping is called; none = by, without what follows the colon"""
    layer: str = "geometric"
    """the layer whose sets are grouped"""
    count: int = 60
    """how many clusters, for geometry, features and random"""
    seed: int = 0
    """seed of the clustering and of the shuffling"""
    up: tuple[float, float, float] | None = None
    """direction against gravity in the scans, such as 0 0 1; none = found from each surface"""

    def __post_init__(self) -> None:
        kind, _, argument = self.by.partition(":")
        if kind not in GROUPED_BY or bool(argument) != (kind in NEED_ARGUMENT):
            raise GeosetError(
                f"by is '{self.by}', expected geometry, random, layer:NAME, features:CKPT or "
                "file:FOLDER"
            )
        _check_name(self.name or kind)
        if self.count < 1:
            raise GeosetError(f"count is {self.count}, expected 1 or more")
        if self.seed < 0:
            raise GeosetError(f"seed is {self.seed}, expected 0 or more")
        if self.up is not None and not 0 < sum(x * x for x in self.up) < float("inf"):
            raise GeosetError(f"up is {self.up}, expected a direction, such as 0 0 1")


def _check_name(name: str) -> None:
    """Refuse names that are not plain file names."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise GeosetError(
            f"the name is '{name}', expected letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit"
        )
