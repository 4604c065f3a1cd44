"""Declare sets of different scenes alike: by geometry, labels, learned features, or a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from geoset.errors import GeosetError
from geoset.evaluation.groups import GroupScore, score_groups
from geoset.prepare.data_set import open_scenes, refresh_indexes
from geoset.prepare.descriptors import SeenSets, see_sets
from geoset.prepare.groups import check_free, write_grouping
from geoset.prepare.scene import PreparedScene
from geoset.prepare.storage import is_url
from geoset.recipes import GroupSettings
from geoset.reports.figures import save_picture
from geoset.tasks.each_scene import each_scene
from geoset.tasks.group_by import Grouping, by_features, by_file, by_geometry, by_layer
from geoset.tasks.group_picture import draw_groups

TRUTH = "semantic"  # the layer that groupings are compared with, where every scene has it


@dataclass(frozen=True)
class GroupSummary:
    """What was grouped.

    name: of the grouping; count: ids are 0 to count - 1; groups: for each scene (S,), -1 = none
    scores: against ground truth, by what is counted ("sets", "pixels"); empty without it
    picture: where it was drawn
    """

    name: str
    count: int
    groups: list[np.ndarray]
    scores: dict[str, GroupScore]
    picture: Path


def group(
    prepared: list[str | Path],
    settings: GroupSettings | None = None,
    out: Path | None = None,
    workers: int = 1,
    console: Console | None = None,
) -> GroupSummary:
    """Group the sets of all prepared scenes in the folders given, and draw what the groups hold.

    Sets that no pixel sees, or without area, are in no cluster. Where all scenes have a layer
    `semantic`, the grouping is compared with it.

    out: the picture, default groups-NAME.png in the first of `prepared`, or here if that is a URL

    Raises:
        GeosetError: there is no prepared scene, one has another grouping of the name or cannot be
            written to, or what it is to be made from is missing or does not fit.
    """
    settings, console = settings or GroupSettings(), console or Console(stderr=True)
    scenes = open_scenes(prepared)
    kind, _, argument = settings.by.partition(":")
    name = settings.name or kind
    made_by = _made_by(settings, kind)
    check_free(scenes, name, settings.layer, made_by)
    for scene in scenes:
        scene.folder.check_writable()
    see = partial(_see, layer=settings.layer)
    seen = each_scene(see, [scene.path for scene in scenes], "pixels of sets", workers, console)
    if kind == "layer":
        grouping = by_layer(scenes, settings.layer, argument)
    elif kind == "file":
        grouping = by_file(scenes, settings.layer, Path(argument))
    elif kind == "features":
        grouping = by_features(scenes, seen, settings, Path(argument), console)
    else:
        grouping = by_geometry(scenes, seen, settings, workers, console)
    if grouping.count == 0:
        raise GeosetError(f"by {settings.by}, no set of layer '{settings.layer}' is in any group")
    write_grouping(scenes, name, settings.layer, grouping.groups, grouping.count, made_by)
    refresh_indexes(prepared)
    scores = _scores(scenes, seen, grouping, settings.layer)
    beside = "." if is_url(prepared[0]) else prepared[0]
    picture = out or Path(beside, f"groups-{name}.png")
    sheet = draw_groups(scenes, seen, grouping, settings.layer, settings.seed)
    save_picture(sheet, picture)
    for line in [*grouping.notes, _counts(seen, grouping, name), f"picture: {picture}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if scores:
        console.print(_table(scores))
    return GroupSummary(name, grouping.count, grouping.groups, scores, picture)


def _made_by(settings: GroupSettings, kind: str) -> dict[str, Any]:
    """Return what a grouping's stamp says of how it was made: the settings that it depends on."""
    made_by: dict[str, Any] = {"by": settings.by}
    if kind in ("geometry", "random", "features"):
        made_by |= {"count": settings.count, "seed": settings.seed}
    if kind in ("geometry", "random"):
        made_by |= {"up": settings.up and list(settings.up)}
    return made_by


def _see(path: str | Path, layer: str) -> SeenSets:
    return see_sets(PreparedScene(path), layer)


def _scores(
    scenes: Sequence[PreparedScene], seen: Sequence[SeenSets], grouping: Grouping, layer: str
) -> dict[str, GroupScore]:
    """Compare with ground truth, of sets that a pixel sees."""
    if any(TRUTH not in scene.layers or scene.scope(TRUTH) != "global" for scene in scenes):
        return {}
    classes = np.concatenate(by_layer(scenes, layer, TRUTH).groups)
    pixels = np.concatenate([of_scene.pixels for of_scene in seen])
    groups = np.where(pixels > 0, np.concatenate(grouping.groups), -1)
    scene_of_set = np.repeat(np.arange(len(scenes)), [len(each) for each in grouping.groups])
    return {
        "sets": score_groups(groups, classes, scene_of_set),
        "pixels": score_groups(groups, classes, scene_of_set, pixels),
    }


def _counts(seen: Sequence[SeenSets], grouping: Grouping, name: str) -> str:
    groups = np.concatenate(grouping.groups)
    unseen = np.concatenate([of_scene.pixels == 0 for of_scene in seen])
    grouped, used = (groups >= 0).sum(), len(np.unique(groups[groups >= 0]))
    return (
        f"grouping '{name}': {grouped} of {len(groups)} sets in {used} groups; not in one: "
        f"{((groups < 0) & unseen).sum()} that no pixel sees, {((groups < 0) & ~unseen).sum()} "
        "others"
    )


def _table(scores: dict[str, GroupScore]) -> Table:
    table = Table(
        title=f"against layer '{TRUTH}'",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("counting")
    for heading in ("purity", "pair precision", "chance", "completeness"):
        table.add_column(heading, justify="right")
    for counted, s in scores.items():
        shares = (s.purity, s.pair_precision, s.chance, s.completeness)
        table.add_row(counted, *(f"{share:.1%}" for share in shares))
    return table
