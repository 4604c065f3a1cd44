"""The same class in the same colour, everywhere, and no two classes in one."""

import subprocess
import sys

import numpy as np
import pytest

from geoset.data.nyu40 import NYU40
from geoset.data.nyuv2 import NYU13
from geoset.data.scannet import CLASSES as SCANNET
from geoset.reports.class_colors import (
    KNOWN,
    class_colors,
    draw_legend,
    paint_labels,
)
from geoset.scans.rooms import ROOM_CLASSES

OWN = tuple(f"part {k}" for k in range(60))
LISTS = [SCANNET, NYU40, NYU13, ROOM_CLASSES, OWN]


def by_name(names):
    return dict(zip(names, map(tuple, class_colors(names).tolist()), strict=True))


@pytest.mark.parametrize("names", LISTS)
def test_no_two_classes_share_a_colour(names):
    colors = class_colors(names)
    assert colors.shape == (len(names), 3) and colors.dtype == np.uint8
    apart = np.abs(colors[:, None].astype(int) - colors).sum(axis=2) + 999 * np.eye(len(names))
    assert apart.min() >= (30 if names is not OWN else 1)
    assert colors.max(axis=1).min() > 40  # none is black, which is no label


def test_classes_keep_their_colours_from_list_to_list():
    everywhere = by_name(NYU40)
    for names in (SCANNET, ROOM_CLASSES):
        for name, color in by_name(names).items():
            assert everywhere.get(name, color) == color
    nyu13 = by_name(NYU13)
    assert nyu13["painting"] == everywhere["picture"]
    assert nyu13["tv"] == everywhere["television"]
    assert everywhere["wall"] == (174, 199, 232)


def test_every_class_of_the_data_sets_has_a_colour_of_its_own():
    for name in {*SCANNET, *NYU40, *NYU13, *ROOM_CLASSES}:
        assert tuple(class_colors([name])[0].tolist()) in KNOWN.values()


def test_spelling_and_order_do_not_matter():
    assert by_name(["Shower_Curtain"])["Shower_Curtain"] == KNOWN["showercurtain"]
    names = (*OWN, "wall", "tv")
    assert by_name(names) == by_name(names[::-1])


def test_an_alias_beside_its_class_gets_another_colour():
    colors = by_name(["couch", "sofa"])
    assert colors["sofa"] == KNOWN["sofa"] != colors["couch"]


def test_colours_of_other_names_are_the_same_in_every_process():
    code = (
        "from geoset.reports.class_colors import *; print(class_colors(['gear', 'cog']).tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert outputs == {f"{class_colors(['gear', 'cog']).tolist()}\n"}


def test_no_class_has_no_colour():
    assert class_colors([]).shape == (0, 3)


def test_labels_are_painted():
    colors = np.array([[10, 20, 30], [200, 100, 0]], dtype=np.uint8)
    labels = np.array([[0, 1, -1]])
    assert paint_labels(labels, colors).tolist() == [[[10, 20, 30], [200, 100, 0], [0, 0, 0]]]
    image = np.full((1, 3, 3), 100, dtype=np.uint8)
    # 0.4 of the image and 0.6 of the colour; the image alone where there is no label
    expected = [[[46, 52, 58], [160, 100, 40], [100, 100, 100]]]
    assert paint_labels(labels, colors, image).tolist() == expected


def test_the_legend_shows_every_name_in_lines_that_fit():
    colors = by_name(ROOM_CLASSES)
    wide, narrow = (np.asarray(draw_legend(colors, width)) for width in (2000, 200))
    assert wide.shape[1] == 2000 and narrow.shape[1] == 200
    assert narrow.shape[0] > 3 * wide.shape[0]
    for legend in (wide, narrow):
        for color in colors.values():
            assert (legend == color).all(axis=2).sum() >= 100  # a swatch of 10 x 10 at least
        assert (legend[:, -1] == 255).all()
