"""Which sets stand for a group in its picture, and what is written above them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from geoset.prepare.descriptors import DESCRIPTORS, FINEST, SeenSets
from geoset.prepare.scene import PreparedScene
from geoset.reports.group_sheet import CLEAR, Example, choose_examples, group_sheet
from geoset.tasks.group_by import Grouping

ROWS, COLUMNS = 24, 8
PLANK = np.sqrt(12)  # length of an even plank against its standard deviation


def draw_groups(
    scenes: Sequence[PreparedScene],
    seen: Sequence[SeenSets],
    grouping: Grouping,
    layer: str,
    seed: int,
) -> Image.Image:
    """Draw sets of the groups that most pixels see, from as many scenes as there are."""
    pixels = np.zeros(grouping.count)
    for groups, of_scene in zip(grouping.groups, seen, strict=True):
        np.add.at(pixels, groups[groups >= 0], of_scene.pixels[groups >= 0])
    rng = np.random.default_rng(seed)
    rows = []
    for group in np.argsort(-pixels, kind="stable")[:ROWS]:
        if pixels[group]:
            caption = _caption(group, grouping, pixels[group] / pixels.sum())
            rows.append((caption, _examples(group, scenes, seen, grouping, rng)))
    return group_sheet(rows, layer)


def _examples(
    group: int,
    scenes: Sequence[PreparedScene],
    seen: Sequence[SeenSets],
    grouping: Grouping,
    rng: np.random.Generator,
) -> list[Example]:
    """Draw sets of a group that are large enough to be recognised, or the largest there are."""
    members = [np.flatnonzero(groups == group) for groups in grouping.groups]
    most = np.concatenate([s.most[labels] for s, labels in zip(seen, members, strict=True)])
    camera = scenes[0].camera(0)
    clear = min(CLEAR * camera.height * camera.width / (96 * 128), np.sort(most)[-COLUMNS:][0])
    candidates = [
        labels[of_scene.most[labels] >= max(clear, 1)]
        for labels, of_scene in zip(members, seen, strict=True)
    ]
    return [
        Example(scenes[scene], int(seen[scene].best_frame[label]), label)
        for scene, label in choose_examples(candidates, COLUMNS, rng)
    ]


def _caption(group: int, grouping: Grouping, share: float) -> str:
    members = [groups == group for groups in grouping.groups]
    sets, scenes = int(sum(m.sum() for m in members)), sum(bool(m.any()) for m in members)
    text = (
        f"group {group}: {sets} set{'s' * (sets != 1)} in {scenes} scene{'s' * (scenes != 1)}, "
        f"{share:.1%} of the pixels"
    )
    if grouping.descriptors is None:
        return text
    values = np.concatenate(
        [values[m] for values, m in zip(grouping.descriptors, members, strict=True)]
    )
    typical = dict(zip(DESCRIPTORS, np.median(values, axis=0), strict=True))
    length, width, rise = (
        PLANK * (np.exp(typical[name]) - FINEST) for name in ("length", "width", "rise")
    )
    slope = np.degrees(np.arctan2(typical["verticality"], typical["horizontality"]))
    return (
        f"{text}; {typical['height']:.1f} m above the floor, {slope:.0f} degrees steep, "
        f"{length:.1f} x {width:.1f} m, {rise:.1f} m tall"
    )
