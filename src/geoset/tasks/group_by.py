"""The ways to group the sets of several scenes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from geoset.errors import GeosetError
from geoset.prepare.clusters import cluster, z_scores
from geoset.prepare.descriptors import SeenSets, describe_sets
from geoset.prepare.gravity import Up, find_up, floor_height, judge_up
from geoset.prepare.groups import set_count
from geoset.prepare.scene import PreparedScene
from geoset.prepare.votes import majority_of_sets
from geoset.recipes import GroupSettings
from geoset.tasks.each_scene import each_scene

MANY_SCENES = 8  # of more, only those are listed whose gravity is unsure


@dataclass(frozen=True)
class Grouping:
    """Groups of the sets of several scenes.

    groups: for each scene (S,) integers, -1 = none; count: ids are 0 to count - 1
    descriptors: for each scene (S,6), where they were used
    notes: what a person should know of how it came about
    """

    groups: list[np.ndarray]
    count: int
    descriptors: list[np.ndarray] | None = None
    notes: list[str] = field(default_factory=list)


def by_geometry(
    scenes: Sequence[PreparedScene],
    seen: Sequence[SeenSets],
    settings: GroupSettings,
    workers: int,
    console: Console,
) -> Grouping:
    """Cluster descriptors of geometry; for "random", then shuffle the clusters among the sets."""
    describe = partial(_describe, layer=settings.layer, stated=settings.up)
    described = each_scene(
        describe, [scene.path for scene in scenes], "geometry of sets", workers, console
    )
    descriptors, ups = [values for values, _ in described], [up for _, up in described]
    clusters, usable = _cluster(descriptors, seen, settings, z_scores)
    if settings.by == "random":
        clusters = np.random.default_rng((settings.seed, 1)).permutation(clusters)
    notes = _gravity_notes([scene.name for scene in scenes], ups, settings.up is not None)
    return Grouping(_split(clusters, usable), settings.count, descriptors, notes)


def by_features(
    scenes: Sequence[PreparedScene],
    seen: Sequence[SeenSets],
    settings: GroupSettings,
    checkpoint: Path,
    console: Console,
) -> Grouping:
    """Cluster the mean features that a network has for the sets, over all frames."""
    from geoset.models.load import load_model, usual_device
    from geoset.tasks.set_features import set_features

    model = load_model(checkpoint).to(usual_device())
    features = each_scene(
        lambda path: set_features(model, PreparedScene(path), settings.layer),
        [scene.path for scene in scenes],
        "features of sets",
        console=console,
    )
    clusters, usable = _cluster(features, seen, settings, lambda values: values)
    return Grouping(_split(clusters, usable), settings.count)


def by_layer(scenes: Sequence[PreparedScene], layer: str, classes: str) -> Grouping:
    """Give each set the label that most of its vertices have in the global layer `classes`.

    Raises:
        GeosetError: a scene lacks the layer, or its ids mean nothing in other scenes.
    """
    groups = []
    for scene in scenes:
        if scene.scope(classes) != "global":
            raise GeosetError(
                f"{scene.path}: layer '{classes}' has scope scene, so that its ids mean nothing in "
                "other scenes; expected a global one, such as: geoset layers PREPARED --images "
                "semantic"
            )
        labels = scene.sets(layer)
        groups.append(majority_of_sets(labels, scene.sets(classes), set_count(labels)))
    return Grouping(groups, max(set_count(group) for group in groups))


def by_file(scenes: Sequence[PreparedScene], layer: str, folder: Path) -> Grouping:
    """Read <scene>.npy from a folder, one integer a set by its label, -1 = none.

    Raises:
        GeosetError: a file is missing or does not fit the layer.
    """
    groups = []
    for scene in scenes:
        file, count = folder / f"{scene.name}.npy", set_count(scene.sets(layer))
        try:
            group = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise GeosetError(
                f"{file}: cannot be read ({error}); expected a .npy for each scene, called as the "
                "scene"
            ) from error
        if group.shape != (count,) or group.dtype.kind not in "iu" or group.min(initial=0) < -1:
            raise GeosetError(
                f"{file}: holds {group.dtype} of shape {group.shape}, expected ({count},) "
                f"integers from -1, one for each set of layer '{layer}' by its label"
            )
        groups.append(group)
    return Grouping(groups, max(set_count(group) for group in groups))


def _describe(
    path: str | Path, layer: str, stated: tuple[float, float, float] | None
) -> tuple[np.ndarray, Up]:
    scene = PreparedScene(path)
    poses = np.stack([scene.world_from_camera(i) for i in range(len(scene))])
    surface = scene.vertices, scene.faces
    up = judge_up(find_up(*surface, poses) if stated is None else stated, *surface, poses)
    floor = floor_height(*surface, up.direction)
    return describe_sets(*surface, scene.sets(layer), up.direction, floor), up


def _cluster(
    values: Sequence[np.ndarray], seen: Sequence[SeenSets], settings: GroupSettings, scale
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Cluster the sets that a pixel sees and that have values; return which ones these are."""
    usable = [
        (of_scene.pixels > 0) & np.isfinite(each).all(axis=1)
        for each, of_scene in zip(values, seen, strict=True)
    ]
    rows = np.concatenate([each[use] for each, use in zip(values, usable, strict=True)])
    return cluster(scale(rows), settings.count, settings.seed), usable


def _split(clusters: np.ndarray, usable: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Spread clusters of usable sets over the sets of each scene; -1 for the others."""
    groups, start = [], 0
    for use in usable:
        group = np.full(len(use), -1, np.int32)
        group[use] = clusters[start : start + use.sum()]
        start += use.sum()
        groups.append(group)
    return groups


def _gravity_notes(names: Sequence[str], ups: Sequence[Up], stated: bool) -> list[str]:
    unsure = [name for name, up in zip(names, ups, strict=True) if not up.sure]
    lines = [
        f"{name}: {up}"
        for name, up in zip(names, ups, strict=True)
        if len(names) <= MANY_SCENES or not up.sure
    ]
    angles = np.median([up.angle for up in ups])
    lines.append(
        f"gravity {'as stated' if stated else 'found'} in {len(names)} scenes, median "
        f"{angles:.0f} degrees from the cameras' own up; unsure in {len(unsure)}"
    )
    if unsure and not stated:
        lines.append("if you know the direction against gravity, state it: --up 0 0 1")
    return lines
