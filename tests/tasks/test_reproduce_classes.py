"""IoU of kinds of classes, and intervals over scenes, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geoset.tasks.reproduce.classes import class_ious, class_scores
from geoset.tasks.reproduce.jobs import _save_confusions

NAMES = ("wall", "door", "chair", "lamp")


def store(folder, *scenes, names=None):
    folder.mkdir(parents=True)
    names = names or [f"scene-{k}" for k in range(len(scenes))]
    np.savez(folder / "confusions.npz", confusions=np.stack(scenes), scenes=names, classes=NAMES)
    return folder


def confusion(wall, door, chair):
    """10 pixels each of wall, door and chair, so many right; the others are taken for walls.

    IoU of wall: wall / (10 + errors of the others); no lamp anywhere.
    """
    counts = np.zeros((4, 4), dtype=np.int64)
    for k, right in enumerate((wall, door, chair)):
        counts[k, k] = right
        counts[k, 0] += 10 - right
    counts[0, 0] = 10
    return counts


def test_iou_of_nothing_is_what_the_protocol_says():
    counts = confusion(10, 5, 10)
    np.testing.assert_allclose(class_ious(counts), [10 / 15, 0.5, 1, np.nan])
    np.testing.assert_allclose(class_ious(counts, 0.0), [10 / 15, 0.5, 1, 0])
    np.testing.assert_allclose(class_ious(np.stack([counts] * 2)[:, None])[1, 0, 1], 0.5)


def test_classes_that_geometry_shows_and_flush_ones(tmp_path):
    folder = store(tmp_path / "a", confusion(10, 5, 10), confusion(10, 5, 10))
    found = class_scores({"view": {0: folder}, "sets": {}}, "view")
    assert list(found) == ["view"]
    assert found["view"]["classes"] == {
        "wall": [66.667],
        "door": [50.0],
        "chair": [100.0],
        "lamp": [],
    }
    assert found["view"]["flush"] == [50.0]
    assert found["view"]["shown"] == [pytest.approx(83.333)]
    zero = class_scores({"view": {0: folder}}, "view", absent_as_zero=True)["view"]
    assert zero["classes"]["lamp"] == [0.0]
    assert zero["shown"] == [pytest.approx(55.556)]


def test_scenes_alike_have_no_interval_and_others_do(tmp_path):
    alike = store(tmp_path / "alike", *[confusion(10, 5, 10)] * 4)
    worse = store(tmp_path / "worse", *[confusion(10, 0, 10)] * 4)
    mixed = store(tmp_path / "mixed", confusion(10, 10, 10), *[confusion(10, 0, 10)] * 3)
    found = class_scores({"view": {0: worse, 1: worse}, "sets": {1: alike}}, "view")
    # alike: (2/3 + 1/2 + 1) / 3; worse: (1/2 + 0 + 1) / 3
    assert found["sets"]["scenes"] == [72.222, 72.222]
    assert found["sets"]["better_scenes"] == [22.222, 22.222]
    assert found["view"]["scenes"] == [50.0, 50.0]
    assert found["view"]["better_scenes"] is None
    low, high = class_scores({"sets": {0: mixed}}, "view")["sets"]["scenes"]
    assert low == 50.0  # the one good scene was not drawn
    assert 65 < high < 100


def test_without_a_seed_in_common_there_is_no_difference(tmp_path):
    folder = store(tmp_path / "a", confusion(10, 5, 10))
    found = class_scores({"view": {0: folder}, "sets": {1: folder}}, "view")
    assert found["sets"]["better_scenes"] is None


def test_runs_scored_on_different_scenes_have_no_interval(tmp_path):
    first = store(tmp_path / "a", confusion(10, 5, 10))
    second = store(tmp_path / "b", confusion(10, 5, 10), names=["elsewhere"])
    found = class_scores({"view": {0: first}, "sets": {0: second}}, "view")
    assert found["sets"]["scenes"] is None
    assert found["sets"]["flush"] == [50.0]


def test_where_places_are_not_known_there_is_no_interval(tmp_path):
    """Rescans of a room are one place; images whose ids name no scene may be of any."""
    counts = [torch.from_numpy(confusion(10, right, 10)) for right in (1, 2, 4, 8)]
    for ids, places in (
        (["scene0001_00/0", "scene0001_02/0", "scene0002_00/0", "scene0002_00/9"], 2),
        (["0001", "0002", "0003", "0004"], 1),
        (["room-1/0", "room-2/0", "scene0001_00x/1", "scene0001_00x/2"], 3),
    ):
        data = SimpleNamespace(image_id=ids.__getitem__, classes=NAMES)
        folder = tmp_path / f"{places}"
        folder.mkdir()
        _save_confusions(folder, data, counts)
        with np.load(folder / "confusions.npz") as stored:
            assert len(stored["confusions"]) == places
            np.testing.assert_array_equal(stored["confusions"].sum(0), sum(counts))
        scenes = class_scores({"view": {0: folder}}, "view")["view"]["scenes"]
        assert (scenes is None) == (places == 1)


def test_what_nyuv2_calls_paintings_is_flush(tmp_path):
    np.savez(
        tmp_path / "confusions.npz",
        confusions=np.stack([confusion(10, 5, 10)] * 2),
        scenes=["a", "b"],
        classes=("wall", "painting", "chair", "tv"),
    )
    assert class_scores({"view": {0: tmp_path}}, "view")["view"]["flush"] == [50.0]
