"""Groupings on disk: what is written comes back, and what no longer fits is refused."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.prepare import stamped
from geoset.prepare.groups import check_free, group_count, read_groups, set_count, write_grouping
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.recipes import PrepareSettings
from reference.box_room import write_box_room

BY = {"by": "hand"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    for name in ("a", "b"):
        scan = write_box_room(folder / name)
        prepare_scene(scan, folder / "out", PrepareSettings(image_size=(96, 128)))
    return folder / "out"


@pytest.fixture
def scenes(prepared, tmp_path):
    out = shutil.copytree(prepared, tmp_path / "out")
    return [PreparedScene(out / name) for name in ("a", "b")]


def some_groups(scenes, count=4):
    sets = [scene.info["sets"] for scene in scenes]
    return [np.arange(n) % (count + 1) - 1 for n in sets]


def test_groups_come_back(scenes):
    groups = some_groups(scenes)
    write_grouping(scenes, "mine", "geometric", groups, 9, BY)
    for scene, expected in zip(scenes, groups, strict=True):
        layer, found = read_groups(PreparedScene(scene.path), "mine")
        assert layer == "geometric" and found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
        stamp = json.loads((scene.path / "groups/mine.json").read_text())
        assert (stamp["count"], stamp["made_by"]) == (9, BY)
    assert group_count(scenes, "mine") == 9


def test_labels_need_not_be_consecutive(scenes):
    """Entry l is the group of label l; labels that no vertex has are entries too."""
    for scene in scenes:
        labels = np.where(np.arange(len(scene.vertices)) % 2, 5, -1)
        surface = scene.info["files"]["surface.ply"]["sha256"]
        write_layer(scene.path, "mine", labels, surface, "scene", BY)
    groups = [np.array([-1, -1, -1, -1, -1, 3])] * 2
    write_grouping(scenes, "pairs", "mine", groups, 4, BY)
    layer, found = read_groups(scenes[1], "pairs")
    assert layer == "mine" and found.tolist() == [-1, -1, -1, -1, -1, 3]


@pytest.mark.parametrize("wrong", ["one too few", "too large", "too small"])
def test_groups_that_do_not_fit(scenes, wrong):
    groups = some_groups(scenes)
    sets = len(groups[1])
    if wrong == "one too few":
        groups[1] = groups[1][1:]
    else:
        groups[1][2] = 9 if wrong == "too large" else -2
    expected = (
        rf"{scenes[1].path}: groups are \({len(groups[1])},\), -?\d to \d, expected \({sets},\), "
        "one for each set of layer 'geometric', from -1 to 8"
    )
    with pytest.raises(GeosetError, match=expected):
        write_grouping(scenes, "mine", "geometric", groups, 9, BY)


def test_a_grouping_that_is_not_there(scenes):
    expected = (
        f"{scenes[0].path}: has no grouping 'mine'; available: none. Make one with: geoset group "
        "PREPARED --name mine"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        read_groups(scenes[0], "mine")
    write_grouping(scenes, "other", "geometric", some_groups(scenes), 4, BY)
    with pytest.raises(GeosetError, match="available: other"):
        group_count(scenes, "mine")


def test_a_layer_that_has_changed(scenes):
    write_grouping(scenes, "mine", "geometric", some_groups(scenes), 4, BY)
    scene = scenes[0]
    labels, surface = scene.sets()[:].copy(), scene.info["files"]["surface.ply"]["sha256"]
    labels[[0, -1]] = labels[[-1, 0]]
    write_layer(scene.path, "geometric", labels, surface, "scene", BY)
    expected = (
        f"{scene.path}/groups/mine.npy: layer 'geometric' has changed since the groups were made; "
        "remove groups/mine.* of every scene and run geoset group again"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        read_groups(PreparedScene(scene.path), "mine")


@pytest.mark.parametrize("damage", ["no stamp", "half a stamp", "half the groups"])
def test_a_grouping_that_cannot_be_read(scenes, damage):
    write_grouping(scenes, "mine", "geometric", some_groups(scenes), 4, BY)
    file = scenes[0].path / "groups/mine.npy"
    broken = file if damage == "half the groups" else file.with_suffix(".json")
    data = broken.read_bytes()
    broken.unlink() if damage == "no stamp" else broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(GeosetError, match=rf"{file}: cannot be read \(.+\); make it again"):
        read_groups(scenes[0], "mine")
    write_grouping(scenes, "mine", "geometric", some_groups(scenes), 4, BY)
    assert group_count(scenes, "mine") == 4


def test_a_killed_writer_leaves_no_stamp_beside_other_groups(scenes, monkeypatch):
    write_grouping(scenes, "mine", "geometric", some_groups(scenes), 4, BY)
    monkeypatch.setattr(stamped.json, "dumps", lambda *_, **__: sys.exit())
    with pytest.raises(SystemExit):
        write_grouping(scenes, "mine", "geometric", some_groups(scenes, 3), 4, BY)
    with pytest.raises(GeosetError, match="cannot be read"):
        read_groups(scenes[0], "mine")


def test_scenes_grouped_apart_are_not_one_grouping(scenes):
    for scene in scenes:
        write_grouping([scene], "mine", "geometric", some_groups([scene]), 4, BY)
    assert group_count(scenes[1:], "mine") == 4
    expected = (
        f"{scenes[0].path} and {scenes[1].path}: the grouping 'mine' was made for them apart, so "
        "that its numbers differ in meaning; run geoset group on all scenes at once"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        group_count(scenes, "mine")


def test_a_name_that_is_taken(scenes):
    write_grouping(scenes, "mine", "geometric", some_groups(scenes), 4, BY)
    check_free(scenes, "mine", "geometric", BY)  # the same again
    check_free(scenes, "other", "geometric", {})
    for layer, made_by in (("geometric", {"by": "foot"}), ("semantic", BY)):
        expected = (
            f"{scenes[0].path}/groups/mine.npy: groups layer 'geometric' by {BY}, now asked for "
            f"layer '{layer}' by {made_by}. Choose another --name, or remove groups/mine.*"
        )
        with pytest.raises(GeosetError, match=re.escape(expected)):
            check_free(scenes, "mine", layer, made_by)


def test_labels_that_are_names_rather_than_numbers():
    assert set_count(np.array([-1, 4, 2])) == 5
    assert set_count(np.array([-1])) == 0
    expected = "a layer has the label 10000000, expected less than 10,000,000; number its sets"
    with pytest.raises(GeosetError, match=expected):
        set_count(np.array([3, 10_000_000]))
