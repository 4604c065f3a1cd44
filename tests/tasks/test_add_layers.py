"""Layers for many scenes at once: what is printed, what is skipped, who fails."""

import io
import re
import shutil

import numpy as np
import pytest
from rich.console import Console
from two_rooms import prepare_quietly

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene
from geoset.recipes import LayerSettings, PrepareSettings
from geoset.tasks.layers import add_layers


@pytest.fixture
def scenes(prepared_rooms, tmp_path):
    return shutil.copytree(prepared_rooms, tmp_path / "prepared")


def add(prepared, settings, workers=1):
    text = io.StringIO()
    summary = add_layers([prepared], settings, workers, Console(file=text, width=200))
    return summary, text.getvalue()


@pytest.mark.parametrize("workers", [1, 2])
def test_thresholds_in_parallel_equal_preparing(rooms, scenes, tmp_path, workers):
    summary, printed = add(scenes, LayerSettings(threshold=(0.02, 0.05)), workers)
    assert [(r.scene, r.layer, r.status) for r in summary.reports] == [
        (scene, layer, "made") for scene in "ab" for layer in ("geometric-0.02", "geometric-0.05")
    ]
    prepare_quietly(rooms, tmp_path / "other", PrepareSettings((48, 64), threshold=0.05))
    for scene in "ab":
        np.testing.assert_array_equal(
            PreparedScene(scenes / scene).sets("geometric-0.05"),
            PreparedScene(tmp_path / "other" / scene).sets(),
        )
    row = next(line.split() for line in printed.splitlines() if "geometric-0.02" in line)
    assert row[1:3] == ["2", "0"] and row[4] == "100%"
    summary, printed = add(scenes, LayerSettings(threshold=(0.05, 0.01)), workers)
    rows = {line.split()[0]: line.split()[1:3] for line in printed.splitlines() if "0.0" in line}
    assert rows == {"geometric-0.05": ["0", "2"], "geometric-0.01": ["2", "0"]}


def test_ground_truth_of_made_up_rooms(scenes):
    """Rooms without furniture: wall, floor, ceiling, and what hangs on the walls (1 to 6)."""
    summary, printed = add(scenes, LayerSettings(images="semantic"))
    scene = PreparedScene(scenes / "a")
    labels = scene.sets("semantic")
    assert scene.scope("semantic") == "global" and set(labels.tolist()) <= {-1, 1, 2, 3, 4, 5, 6}
    on_floor = labels[(np.abs(scene.vertices[:, 2]) < 0.01) & (labels >= 0)]
    assert (
        len(on_floor) > 1000 and (on_floor == 2).mean() > 0.9
    )  # the others are where walls meet it
    row = next(line.split() for line in printed.splitlines() if line.startswith(" semantic"))
    made_by = [report.made_by for report in summary.reports]
    support = np.average([m["support"] for m in made_by], weights=[m["voted"] for m in made_by])
    assert row[-2] == f"{support:.1%}" and support > 0.97
    assert "support: share of the pixels that agree with the label of their vertex; tied" in printed
    add(scenes, LayerSettings(images="instance"))
    assert PreparedScene(scenes / "a").scope("instance") == "scene"


def test_frames_left_out_are_counted(rooms, tmp_path):
    copied = shutil.copytree(rooms, tmp_path / "rooms")
    prepare_quietly(copied, tmp_path / "out")
    for name in ("a/label/000001.png", "a/label/000003.png", "b/label/000005.png"):
        (copied / name).unlink()
    _, printed = add(tmp_path / "out", LayerSettings(images="semantic"))
    assert "frames left out: 3 x no label image" in printed


def test_one_bad_scene_among_good_ones(scenes, tmp_path):
    count = len(PreparedScene(scenes / "b").vertices)
    np.save(tmp_path / "b.npy", np.zeros(count, int))
    settings = LayerSettings(labels=tmp_path, name="mine")
    summary, printed = add(scenes, settings)
    assert [report.scene for report in summary.failed] == ["a"]
    assert f"failed: {tmp_path}/a.npy: no such file" in printed
    assert PreparedScene(scenes / "b").layers == ["geometric", "mine"]
    with pytest.raises(GeosetError, match=re.escape(f"{tmp_path}/a.npy: no such file")):
        add(scenes / "a", settings)


def test_all_scenes_are_bad(scenes, tmp_path):
    expected = "no layer could be added to any scene; the reasons stand above"
    with pytest.raises(GeosetError, match=expected):
        add(scenes, LayerSettings(labels=tmp_path, name="mine"))


def test_no_workers(scenes):
    with pytest.raises(GeosetError, match="workers is 0, expected 1 or more"):
        add(scenes, LayerSettings(threshold=(0.05,)), workers=0)
