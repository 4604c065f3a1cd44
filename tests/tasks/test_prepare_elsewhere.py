"""Scenes are prepared to URLs as into folders, and layers and groups are added to them there."""

import re
from pathlib import Path

import fsspec
import pytest
from two_rooms import SETTINGS, prepare_quietly, scenes_in

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene
from geoset.recipes import GroupSettings, LayerSettings, PrepareSettings
from geoset.tasks.group import group
from geoset.tasks.inspect import inspect
from geoset.tasks.layers import add_layers


@pytest.fixture
def memory():
    """A URL of this process alone."""
    yield "memory://prepared"
    fsspec.filesystem("memory").rm("/prepared", recursive=True)


@pytest.fixture
def everywhere(tmp_path):
    """A URL that all processes of this machine see, and the folder behind it."""
    return f"simplecache::file://{tmp_path}/bucket/prepared", tmp_path / "bucket/prepared"


def statuses(summary):
    return [report.status for report in summary.reports]


def test_the_same_as_here(rooms, prepared_rooms, everywhere):
    url, folder = everywhere
    summary, _ = prepare_quietly(rooms, url, workers=2)
    assert statuses(summary) == ["prepared", "prepared"]
    assert scenes_in(folder) == scenes_in(prepared_rooms)
    assert (folder / "report.json").is_file()
    summary, text = prepare_quietly(rooms, url, workers=2)
    assert statuses(summary) == ["finished before"] * 2 and "2 scans, 0 to prepare" in text
    assert scenes_in(folder) == scenes_in(prepared_rooms)


def test_with_other_settings_it_is_refused(rooms, memory):
    prepare_quietly(rooms / "a", memory)
    with pytest.raises(GeosetError, match="memory://prepared/a: was prepared with min_overlap = 0"):
        prepare_quietly(rooms / "a", memory, PrepareSettings(image_size=SETTINGS.image_size))


def test_why_a_scan_failed_stands_there_until_it_does_not(rooms, memory, tmp_path):
    fs = fsspec.filesystem("memory")
    (tmp_path / "a").mkdir()
    for part in (rooms / "a").iterdir():
        (tmp_path / "a" / part.name).symlink_to(part)
    poses = (rooms / "a/pose").resolve()
    (tmp_path / "a/pose").unlink()
    (tmp_path / "a/pose").mkdir()
    for pose in poses.iterdir():
        (tmp_path / "a/pose" / pose.name).write_text("nan " * 16)
    with pytest.raises(GeosetError):
        prepare_quietly(tmp_path / "a", memory)
    assert "GeosetError" in fs.cat("/prepared/failed/a.txt").decode()
    assert not fs.exists("/prepared/a/scene.json")
    (tmp_path / "a/pose").rename(tmp_path / "bad")
    (tmp_path / "a/pose").symlink_to(poses)
    prepare_quietly(tmp_path / "a", memory)
    assert not fs.exists("/prepared/failed/a.txt") and len(PreparedScene(f"{memory}/a")) == 6


def test_nothing_is_prepared_for_a_place_that_cannot_be_written(rooms, monkeypatch):
    monkeypatch.setattr("geoset.tasks.attempt.prepare_scene", None)
    with pytest.raises(GeosetError, match=r"report\.json: cannot be written, HTTP only reads"):
        prepare_quietly(rooms, "http://127.0.0.1:1/prepared")
    expected = "nowhere://prepared/report.json: cannot be reached (Protocol not known: nowhere)"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        prepare_quietly(rooms, "nowhere://prepared")


def test_layers_groups_and_pictures(rooms, memory, tmp_path, monkeypatch):
    for name in "ab":
        prepare_quietly(rooms / name, memory)
    add_layers([memory], LayerSettings(threshold=(0.3,)))
    picture = tmp_path / "groups.png"
    group([memory], GroupSettings(layer="geometric-0.3", count=3, name="three"), picture)
    assert picture.exists()
    assert PreparedScene(f"{memory}/b").layers == ["geometric", "geometric-0.3"]
    assert inspect(f"{memory}/b", tmp_path / "b.png") == [tmp_path / "b.png"]
    assert (tmp_path / "b.png").is_file()
    monkeypatch.chdir(tmp_path)
    assert inspect(memory) == [Path("a.png"), Path("b.png")]
    assert b'"three.npy"' in fsspec.filesystem("memory").cat("/prepared/index.json")
