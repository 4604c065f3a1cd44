"""Scenes are found, copied and indexed in folders here and elsewhere."""

import json
import re
import shutil

import fsspec
import pytest

from geoset.errors import GeosetError
from geoset.prepare.data_set import (
    find_scenes,
    open_scenes,
    publish_scene,
    refresh_indexes,
    write_index,
)
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.prepare.storage import open_folder
from geoset.recipes import PrepareSettings
from http_folder import serve
from reference.box_room import CAMERA, write_box_room


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data_set")
    settings = PrepareSettings(image_size=(CAMERA.height, CAMERA.width))
    prepare_scene(write_box_room(folder / "room"), folder / "prepared", settings)
    return folder / "prepared/room"


@pytest.fixture
def here(scene, tmp_path):
    """A folder of two scenes and an unfinished one, indexed."""
    shutil.copytree(scene, tmp_path / "prepared/a b")
    shutil.copytree(scene, tmp_path / "prepared/kitchen")
    shutil.copytree(scene, tmp_path / "prepared/unfinished")
    (tmp_path / "prepared/unfinished/scene.json").unlink()
    write_index(open_folder(tmp_path / "prepared"))
    return tmp_path / "prepared"


@pytest.fixture
def memory(here):
    fs, url = fsspec.filesystem("memory"), "memory://data_set/prepared"
    fs.put(str(here), "/data_set/prepared", recursive=True)
    yield url
    fs.rm("/data_set", recursive=True)


def test_finished_scenes_are_found(here, memory):
    assert find_scenes([here]) == [here / "a b", here / "kitchen"]
    assert find_scenes([memory]) == [f"{memory}/a b", f"{memory}/kitchen"]
    assert find_scenes([f"{memory}/kitchen/"]) == [f"{memory}/kitchen"]
    assert find_scenes([f"file://{here}"]) == find_scenes([str(here)]) == find_scenes([here])
    with serve(here) as served:
        found = find_scenes([served.url])
        assert found == [f"{served.url}/a%20b", f"{served.url}/kitchen"]
        assert [scene.name for scene in open_scenes([served.url])] == ["a b", "kitchen"]
        assert find_scenes(found[1:]) == found[1:]


def test_of_one_name_there_is_one(here, memory):
    assert find_scenes([memory, f"{memory}/kitchen"]) == find_scenes([memory])
    expected = f"{here / 'kitchen'} and {memory}/kitchen: two scenes of one name"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        find_scenes([here / "kitchen", memory])


@pytest.mark.parametrize("url", ["memory://nowhere", "memory://data_set/prepared/unfinished"])
def test_no_scene_there(memory, url):
    expected = f"{url}: holds no prepared scene (no scene.json in it or one level below)"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        find_scenes([memory, url])


def test_http_needs_an_index(here):
    with serve(here) as served:
        (here / "index.json").write_text('{"scenes": 5}')
        with pytest.raises(GeosetError, match=r"index\.json: cannot be read"):
            find_scenes([served.url])
        (here / "index.json").unlink()
        expected = (
            f"{served.url}: has no index.json, without which HTTP does not tell what lies in it. "
            "Run geoset prepare again where the scenes were made"
        )
        with pytest.raises(GeosetError, match=re.escape(expected)):
            find_scenes([served.url])
        assert len(PreparedScene(f"{served.url}/kitchen")) == 4


@pytest.mark.parametrize("given", ["", "kitchen"])
def test_the_index(here, memory, given):
    shutil.copy(here / "kitchen/sets/geometric.npy", here / "kitchen/sets/mine.npy")
    refresh_indexes([here / given])
    expected = {
        "a b": {"groups": [], "sets": ["geometric.json", "geometric.npy"]},
        "kitchen": {"groups": [], "sets": ["geometric.json", "geometric.npy", "mine.npy"]},
    }
    assert json.loads((here / "index.json").read_text()) == {"scenes": expected}
    remote = fsspec.filesystem("memory")
    remote.pipe("/data_set/prepared/index.json", b"of before")
    refresh_indexes([f"{memory}/{given}"])
    assert not (here / "kitchen/index.json").exists()
    expected["kitchen"]["sets"].pop()
    assert json.loads(remote.cat("/data_set/prepared/index.json")) == {"scenes": expected}


def test_published_last_and_whole(scene, memory, monkeypatch):
    fs, sent = fsspec.filesystem("memory"), []
    put = type(fs).put_file

    def note(fs, path, there, **options):
        sent.append(there.removeprefix("/data_set/prepared/kitchen/"))
        if failing == sent[-1]:
            raise OSError("the network is down")
        assert not fs.exists("/data_set/prepared/kitchen/scene.json")
        put(fs, path, there, **options)

    monkeypatch.setattr(type(fs), "put_file", note)
    failing = "pairs.npz"
    with pytest.raises(GeosetError, match=r"pairs\.npz: cannot be reached \(the network is down\)"):
        publish_scene(scene, f"{memory}/kitchen")
    assert find_scenes([memory]) == [f"{memory}/a b"]
    failing, sent = "", []
    publish_scene(scene, f"{memory}/kitchen")
    assert sorted(sent[:-1]) == [
        "frames.tar", "pairs.npz", "sets/geometric.json", "sets/geometric.npy", "surface.ply",
    ]  # fmt: skip
    assert sent[-1] == "scene.json"
    assert PreparedScene(f"{memory}/kitchen").info == PreparedScene(scene).info


def test_layers_there_that_are_untrue_of_the_new_scene_go(scene, memory):
    publish_scene(scene, f"{memory}/kitchen")
    there = PreparedScene(f"{memory}/kitchen")
    stamp, labels = there.layer_stamp("geometric")["surface_sha256"], there.sets()
    write_layer(there.path, "seen", labels, stamp, "global", {"images": "semantic"})
    write_layer(there.path, "mine", labels, stamp, "scene", {"labels": "sha"})
    write_layer(there.path, "older", labels[:-1], "0" * 64, "scene", {"threshold": 0.1})
    assert publish_scene(scene, f"{memory}/kitchen") == [
        "layer 'older' was of the surface before; make it again",
        "layer 'seen' was of the labels before; make it again",
    ]
    assert PreparedScene(f"{memory}/kitchen").layers == ["geometric", "mine"]


def test_only_finished_scenes_are_published(here, memory):
    with pytest.raises(GeosetError, match="unfinished: holds no prepared scene"):
        publish_scene(here / "unfinished", f"{memory}/other")
