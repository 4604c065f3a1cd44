"""Grouping the sets of two rooms in every way there is."""

import io
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from geoset.data.pairs import PairBatches
from geoset.errors import GeosetError
from geoset.evaluation.groups import score_groups
from geoset.models.load import save_model
from geoset.models.resunet import ResUNet
from geoset.prepare.groups import group_count, read_groups
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.recipes import GroupSettings, LayerSettings
from geoset.tasks.group import group
from geoset.tasks.layers import add_layers
from geoset.tasks.set_features import set_features, sum_by_set

QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def labelled(prepared_rooms, tmp_path_factory):
    folder = shutil.copytree(prepared_rooms, tmp_path_factory.mktemp("group") / "prepared")
    add_layers([folder], LayerSettings(images="semantic"), console=QUIET)
    add_layers([folder], LayerSettings(images="instance"), console=QUIET)
    return folder


@pytest.fixture(scope="module")
def grouped(labelled, tmp_path_factory):
    """The rooms, their sets in 8 groups by geometry and at random: folder, and both runs."""
    folder = shutil.copytree(labelled, tmp_path_factory.mktemp("grouped") / "prepared")
    return folder, run(folder, count=8), run(folder, by="random", count=8)


@pytest.fixture
def folder(labelled, tmp_path):
    return shutil.copytree(labelled, tmp_path / "prepared")


def run(folder, workers=1, out=None, **settings):
    text = io.StringIO()
    console = Console(file=text, width=200)
    return group([folder], GroupSettings(**settings), out, workers, console), text.getvalue()


def open_scenes(folder):
    return [PreparedScene(folder / name) for name in "ab"]


def test_a_scene_that_cannot_be_written_to_is_named_before_anything_is_computed(
    folder, monkeypatch
):
    writable = os.access
    closed = lambda path, mode: path != folder / "b" and writable(path, mode)  # noqa: E731
    monkeypatch.setattr(os, "access", closed)
    monkeypatch.delattr("geoset.tasks.group.see_sets")
    with pytest.raises(GeosetError, match=re.escape(f"{folder}/b: cannot be written to; make it")):
        run(folder, count=8)


def test_by_geometry(grouped):
    folder, (summary, printed), _ = grouped
    scenes = open_scenes(folder)
    assert (summary.name, summary.count, group_count(scenes, "geometry")) == ("geometry", 8, 8)
    for scene, expected in zip(scenes, summary.groups, strict=True):
        layer, groups = read_groups(scene, "geometry")
        np.testing.assert_array_equal(groups, expected)
        seen = np.zeros(len(groups), bool)
        for i in range(len(scene)):
            set_map = scene.set_map(i)
            seen[set_map[set_map >= 0]] = True
        np.testing.assert_array_equal(groups >= 0, seen)
        assert layer == "geometric"
    sizes = np.bincount(np.concatenate(summary.groups)[np.concatenate(summary.groups) >= 0])
    assert (np.diff(sizes) <= 0).all() and len(sizes) == 8
    assert json.loads((folder / "a/groups/geometry.json").read_text())["made_by"] == {
        "by": "geometry", "count": 8, "seed": 0, "up": None
    }  # fmt: skip
    grouped, total = sizes.sum(), sum(len(groups) for groups in summary.groups)
    assert f"grouping 'geometry': {grouped} of {total} sets in 8 groups; not in one: " in printed
    assert re.search(
        r"a: up is \(-?0\.00, -?0\.00, 1\.00\): \d+ degrees from the cameras'", printed
    )
    assert "gravity found in 2 scenes" in printed and "unsure in 0" in printed


def test_the_floors_find_each_other(grouped):
    largest = []
    for scene in open_scenes(grouped[0]):
        labels, groups = scene.sets(), read_groups(scene, "geometry")[1]
        floor = labels[np.abs(scene.vertices[:, 2]) < 0.005]
        largest.append(groups[np.bincount(floor).argmax()])
    assert largest[0] == largest[1] >= 0


def test_the_same_again_is_the_same(grouped, tmp_path):
    folder, (first, _), _ = grouped
    files = {path: path.read_bytes() for path in folder.glob("*/groups/*")}
    second, _ = run(folder, count=8, workers=2, out=tmp_path / "again.png")
    assert files == {path: path.read_bytes() for path in folder.glob("*/groups/*")}
    assert second.picture.read_bytes() == first.picture.read_bytes()


def test_random_keeps_the_sizes(grouped):
    _, (geometry, _), (random, _) = grouped
    a, b = np.concatenate(geometry.groups), np.concatenate(random.groups)
    np.testing.assert_array_equal(a < 0, b < 0)
    assert sorted(a) == sorted(b) and (a != b).any()


def test_by_labels(folder):
    summary, printed = run(folder, by="layer:semantic", name="truth")
    for scene, groups in zip(open_scenes(folder), summary.groups, strict=True):
        labels, classes = scene.sets(), scene.sets("semantic")
        for label, found in enumerate(groups):
            votes = classes[(labels == label) & (classes >= 0)]
            assert found == (np.bincount(votes).argmax() if len(votes) else -1)
    assert summary.count == np.concatenate(summary.groups).max() + 1
    for score in summary.scores.values():
        assert (score.purity, score.pair_precision, score.completeness) == (1, 1, 1)
    row = next(line.split() for line in printed.splitlines() if line.startswith(" pixels"))
    chance = f"{summary.scores['pixels'].chance:.1%}"
    assert row[1:] == ["100.0%", "100.0%", chance, "100.0%"]


def test_geometry_agrees_with_classes_better_than_random(grouped):
    _, (geometry, _), (random, _) = grouped
    for counted in ("sets", "pixels"):
        better, worse = geometry.scores[counted], random.scores[counted]
        assert better.purity > worse.purity and better.pair_precision > worse.pair_precision
        assert better.chance == worse.chance


def test_without_ground_truth_there_is_no_score(folder):
    for name in ("semantic.npy", "semantic.json"):
        (folder / "b/sets" / name).unlink()
    summary, printed = run(folder, count=4)
    assert summary.scores == {} and "purity" not in printed


def test_by_a_layer_of_scope_scene(folder):
    expected = (
        f"{folder}/a: layer 'instance' has scope scene, so that its ids mean nothing in other "
        "scenes; expected a global one, such as: geoset layers PREPARED --images semantic"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        run(folder, by="layer:instance")


def test_by_file(folder, tmp_path):
    sets = [scene.info["sets"] for scene in open_scenes(folder)]
    given = [np.arange(count) % 3 - 1 for count in sets]
    for name, groups in zip("ab", given, strict=True):
        np.save(tmp_path / f"{name}.npy", groups)
    summary, _ = run(folder, by=f"file:{tmp_path}")
    assert (summary.name, summary.count) == ("file", 2)
    for scene, groups in zip(open_scenes(folder), given, strict=True):
        np.testing.assert_array_equal(read_groups(scene, "file")[1], groups)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            lambda count: np.zeros(count + 1, int),
            r"holds int64 of shape \({more},\), expected \({n},",
        ),
        (
            lambda count: np.zeros(count),
            r"holds float64 of shape \({n},\), expected \({n},\) integ",
        ),
        (lambda count: np.full(count, -2), r"expected \({n},\) integers from -1, one for each set"),
        (None, r"cannot be read \(.*expected a \.npy for each scene, called as the scene"),
    ],
)
def test_files_that_do_not_fit(folder, tmp_path, wrong, text):
    count = PreparedScene(folder / "a").info["sets"]
    if wrong:
        np.save(tmp_path / "a.npy", wrong(count))
    text = text.replace("{n}", str(count)).replace("{more}", str(count + 1))
    with pytest.raises(GeosetError, match=rf"{tmp_path}/a\.npy: .*{text}"):
        run(folder, by=f"file:{tmp_path}")
    assert not (folder / "a/groups").exists()


def test_nothing_is_grouped(folder, tmp_path):
    scenes = open_scenes(folder)
    for scene in scenes:
        np.save(tmp_path / f"{scene.name}.npy", np.full(scene.info["sets"], -1))
    expected = f"by file:{tmp_path}, no set of layer 'geometric' is in any group"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        run(folder, by=f"file:{tmp_path}")


def test_only_sets_that_no_pixel_sees_are_grouped(folder, tmp_path):
    scenes, counts = open_scenes(folder), []
    for scene in scenes:
        groups = np.zeros(scene.info["sets"], int)
        for i in range(len(scene)):
            groups[np.setdiff1d(scene.set_map(i), [-1])] = -1
        counts.append((groups == 0).sum())
        np.save(tmp_path / f"{scene.name}.npy", groups)
    _, printed = run(folder, by=f"file:{tmp_path}")
    total = sum(scene.info["sets"] for scene in scenes)
    assert 0 < sum(counts) < total
    assert f"'file': {sum(counts)} of {total} sets in 1 groups; not in one: 0 that" in printed


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (12, 16)])
def test_features_of_pixels_are_summed_by_set(size):
    """Pixel (y, x) has the feature of cell (y*h//H, x*w//W); H, W no multiples of h, w too."""
    rng = np.random.default_rng(0)
    features, set_map = rng.normal(size=(3, *size)), rng.integers(-1, 5, (12, 16))
    expected = np.zeros((6, 3))
    for y, x in np.ndindex(12, 16):
        if set_map[y, x] >= 0:
            cell = features[:, y * size[0] // 12, x * size[1] // 16]
            expected[set_map[y, x]] += cell
    np.testing.assert_allclose(sum_by_set(features, set_map, 6), expected, atol=1e-12)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    save_model(ResUNet("resnet18", out_channels=8, width=0.25), path)
    return path


def test_features_of_sets(folder, network):
    from geoset import load_model

    scene, model = PreparedScene(folder / "a"), load_model(network)
    found = set_features(model, scene, "geometric")
    total = np.zeros((scene.info["sets"], 8))
    for i in range(len(scene)):
        image = torch.from_numpy(scene.image(i)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            features = model(image)[0]
        features = (features / features.norm(dim=0)).numpy()
        h, w = features.shape[1:]
        set_map = scene.set_map(i)
        for y, x in np.argwhere(set_map >= 0):
            total[set_map[y, x]] += features[:, y * h // 48, x * w // 64]
    seen = np.abs(total).sum(axis=1) > 0
    expected = total[seen] / np.linalg.norm(total[seen], axis=1, keepdims=True)
    np.testing.assert_allclose(found[seen], expected, atol=1e-5)
    assert np.isnan(found[~seen]).all()


def test_by_features(folder, network):
    summary, printed = run(folder, by=f"features:{network}", count=5)
    groups = np.concatenate(summary.groups)
    assert summary.count == 5 and set(groups[groups >= 0].tolist()) == set(range(5))
    assert read_groups(PreparedScene(folder / "b"), "features")[0] == "geometric"
    assert "gravity" not in printed


def test_another_layer(folder):
    summary, _ = run(folder, layer="instance", count=4, name="things")
    layer, groups = read_groups(PreparedScene(folder / "a"), "things")
    labels = PreparedScene(folder / "a").sets("instance")
    assert layer == "instance" and len(groups) == labels.max() + 1
    present = np.unique(labels[labels >= 0])
    assert (np.delete(groups, present) == -1).all() and (groups[present] >= 0).any()
    assert summary.picture == folder / "groups-things.png"


@pytest.mark.parametrize("by", ["geometry", "random"])
def test_a_layer_without_a_set_in_one_scene(folder, by):
    for scene, keep in zip(open_scenes(folder), (True, False), strict=True):
        labels = np.where(keep, scene.sets(), np.int32(-1))
        stamp = scene.layer_stamp("geometric")["surface_sha256"]
        write_layer(scene.path, "mine", labels, stamp, "scene", {})
    summary, _ = run(folder, by=by, layer="mine", count=4, name="mine")
    assert (summary.groups[0] >= 0).any() and len(summary.groups[1]) == 0
    pairs = sum(len(scene.pairs) for scene in open_scenes(folder))
    batch = PairBatches(open_scenes(folder), pairs, 0, layers=("mine",), groups="mine")[0]
    in_b = batch.views[:, 0] == 1
    assert in_b.any() and (batch.group_ids["mine"][in_b] == -1).all()
    assert (batch.group_ids["mine"][~in_b] >= 0).any()


def test_gravity_that_is_stated(grouped, folder):
    stated, printed = run(folder, count=8, name="stated", up=(0, 0, 5))
    assert "gravity as stated in 2 scenes" in printed
    found, stated = (np.concatenate(each.groups) for each in (grouped[1][0], stated))
    # Directions differ by a tenth of a degree: nearly all sets stay together.
    assert score_groups(found, stated, np.arange(len(found))).pair_precision > 0.7
    _, printed = run(folder, count=8, name="wrong", up=(0, 0, -1))
    assert "b: up is (0.00, 0.00, -1.00), unsure: " in printed and "unsure in 2" in printed


def test_the_picture(folder, tmp_path):
    summary, printed = run(folder, count=5, out=tmp_path / "sheet.png")
    assert summary.picture == tmp_path / "sheet.png" and f"picture: {tmp_path}" in printed
    with Image.open(summary.picture) as sheet:
        outlined = (np.asarray(sheet) == (255, 60, 200)).all(axis=2)
        height, captions = sheet.height, np.asarray(sheet.convert("L")) < 60
    assert height > 5 * 126
    for row in np.array_split(np.arange(height), 5):  # one a group
        assert outlined[row].any() and captions[row[:18]].any()


def test_a_name_that_is_taken(grouped):
    folder = grouped[0]
    before = {path: path.read_bytes() for path in folder.glob("*/groups/*")}
    with pytest.raises(GeosetError, match=r"groups/geometry\.npy: groups layer 'geometric' by"):
        run(folder, count=6)
    assert before == {path: path.read_bytes() for path in folder.glob("*/groups/*")}


def test_more_clusters_than_sets(folder):
    with pytest.raises(GeosetError, match=r"\d+ sets cannot make 5000 clusters; ask for fewer"):
        run(folder, count=5000)
