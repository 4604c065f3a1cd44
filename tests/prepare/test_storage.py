"""Scenes at URLs: all that is read of them is what lies on this machine, and faults are named."""

import re
import shutil
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.prepare import transfer
from geoset.prepare.data_set import publish_scene, write_index
from geoset.prepare.groups import read_groups, write_grouping
from geoset.prepare.layers import make_layers
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.prepare.storage import open_folder
from geoset.recipes import LayerSettings, PrepareSettings
from http_folder import serve
from reference.box_room import CAMERA, write_box_room

BY = {"by": "hand"}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder of one prepared scene, whose name no URL can hold as it is; not to be written to."""
    folder = tmp_path_factory.mktemp("storage")
    scan = write_box_room(folder / "room 1#a")
    prepare_scene(
        scan, folder / "prepared", PrepareSettings(image_size=(CAMERA.height, CAMERA.width))
    )
    scene = PreparedScene(folder / "prepared/room 1#a")
    write_grouping([scene], "mine", "geometric", [np.arange(scene.sets().max() + 1) % 3], 3, BY)
    write_index(open_folder(folder / "prepared"))
    return folder / "prepared"


@pytest.fixture
def local(prepared):
    return PreparedScene(prepared / "room 1#a")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSET_CACHE", str(tmp_path / "cache"))
    transfer.read_range.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def nothing_kept(monkeypatch):
    monkeypatch.setenv("GEOSET_CACHE_GB", "0")


@pytest.fixture
def server(prepared):
    with serve(prepared) as served:
        served.scene = f"{served.url}/room%201%23a"
        yield served


@pytest.fixture
def memory(prepared):
    url = "memory://bucket/prepared"
    publish_scene(prepared / "room 1#a", f"{url}/room 1#a")
    yield f"{url}/room 1#a"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.fixture(params=["memory", "http"])
def url(request):
    if request.param == "memory":
        return request.getfixturevalue("memory")
    return request.getfixturevalue("server").scene


@pytest.mark.parametrize("gigabytes", ["50", "0", "1e-5"])  # 1e-5: pairs fit, frames do not
def test_all_of_it_is_as_on_this_machine(url, local, gigabytes, monkeypatch, cache):
    monkeypatch.setenv("GEOSET_CACHE_GB", gigabytes)
    scene = PreparedScene(url)
    assert scene.path == url and scene.info == local.info
    assert scene.name == local.name == "room 1#a" and scene.layers == local.layers
    for i in range(len(local)):
        for read in ("image", "depth", "vertex_map", "set_map", "world_from_camera"):
            np.testing.assert_array_equal(getattr(scene, read)(i), getattr(local, read)(i))
    for name in ("vertices", "faces", "colors", "pairs", "overlap", "residual", "offset"):
        np.testing.assert_array_equal(getattr(scene, name), getattr(local, name))
    np.testing.assert_array_equal(scene.sets(), local.sets())
    np.testing.assert_array_equal(read_groups(scene, "mine")[1], read_groups(local, "mine")[1])
    assert scene.layer_stamp("geometric") == local.layer_stamp("geometric")
    assert scene.has_layer("geometric") and not scene.has_layer("semantic")
    kept = [path.stat().st_size for path in cache.glob("*-*")]
    assert sum(kept) <= float(gigabytes) * 1e9
    assert len(kept) == {"50": 5, "0": 0}.get(gigabytes, len(kept))


def test_files_are_fetched_once(server):
    for _ in range(2):
        scene = PreparedScene(server.scene)
        frames = [scene.image(i) for i in range(len(scene))]
        assert len(frames) == 4 and len(scene.pairs)
    assert server.requests["frames.tar"] == server.requests["pairs.npz"] == 1
    assert server.requests["surface.ply"] == 0  # nobody asked for it


@pytest.mark.usefixtures("nothing_kept")
def test_a_frame_that_is_not_kept_is_one_request(server):
    scene = PreparedScene(server.scene)
    for _ in range(2):
        for i in range(3):
            scene.image(i), scene.depth(i), scene.vertex_map(i)
    assert server.requests["frames.tar"] == 3


def test_a_file_that_goes_while_in_use_comes_again(server, local, cache):
    scene = PreparedScene(server.scene)
    scene.image(0)
    [kept] = cache.glob("*.tar")
    kept.unlink()
    np.testing.assert_array_equal(scene.image(0), local.image(0))
    assert server.requests["frames.tar"] == 2


def test_half_a_download_is_fetched_again(server, local):
    server.short["frames.tar"] = 1
    np.testing.assert_array_equal(PreparedScene(server.scene).image(1), local.image(1))
    assert server.requests["frames.tar"] == 2


def test_half_a_download_twice_is_an_error(server, local, cache):
    size = local.info["files"]["frames.tar"]["bytes"]
    server.short["frames.tar"] = 2
    expected = (
        f"{server.scene}/frames.tar: {size // 2} bytes arrived, expected {size} of another "
        "content. If it happens again, the copy there is damaged: copy the scene again"
    )
    scene = PreparedScene(server.scene)
    with pytest.raises(GeosetError, match=re.escape(expected)):
        scene.image(1)
    assert server.requests["frames.tar"] == 2 and not list(cache.glob("*.tar*"))
    np.testing.assert_array_equal(scene.image(1), local.image(1))


@pytest.mark.usefixtures("nothing_kept")
def test_half_a_range_is_asked_for_again(server, local):
    server.short["frames.tar"] = 1
    np.testing.assert_array_equal(PreparedScene(server.scene).image(1), local.image(1))


@pytest.mark.usefixtures("nothing_kept")
def test_a_server_without_ranges(server, local):
    server.ranges = False
    size = local.info["files"]["frames.tar"]["bytes"]
    expected = rf"frames.tar: answered {size} bytes when asked for \d+\. A server that does not kn"
    with pytest.raises(GeosetError, match=expected):
        PreparedScene(server.scene).image(1)


def test_content_that_changed_there(memory, cache):
    fs = fsspec.filesystem("memory")
    path = "/bucket/prepared/room 1#a/frames.tar"
    fs.pipe_file(path, bytes(fs.size(path)))
    with pytest.raises(GeosetError, match="the copy there is damaged: copy the scene again"):
        PreparedScene(memory).image(0)
    fs.rm_file(path)
    with pytest.raises(GeosetError, match=r"frames\.tar: is missing; copy the scene there"):
        PreparedScene(memory).image(0)


@pytest.mark.usefixtures("nothing_kept")
def test_a_damaged_member_elsewhere(memory, local):
    fs = fsspec.filesystem("memory")
    path = "/bucket/prepared/room 1#a/frames.tar"
    start, size = local.info["frames"][1]["members"]["depth"]
    data = bytearray(fs.cat_file(path))
    data[start : start + size] = bytes(size)
    fs.pipe_file(path, bytes(data))
    expected = f"{memory}/frames.tar: depth of frame 000001 is damaged"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(memory).depth(1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nowhere://bucket/room", r"nowhere://bucket/room/scene.json: cannot be reached \(Protoc"),
        ("http://127.0.0.1:1/room", r"scene.json: cannot be reached \(.*Cannot connect.*\); check"),
        ("memory://no/such/room", "^memory://no/such/room: holds no prepared scene"),
        (
            "oci://bucket/room",
            r"oci://bucket/room/scene.json: Install ocifs to .*, for example with: pip install s3",
        ),
    ],
)
def test_what_cannot_be_reached(url, expected):
    with pytest.raises(GeosetError, match=expected):
        PreparedScene(url)


def test_what_may_not_be_read(server):
    server.denied = True
    expected = r"scene.json: cannot be reached \(403.*\); you may not do that; check the rights"
    with pytest.raises(GeosetError, match=expected):
        PreparedScene(server.scene)


def test_a_layer_that_is_written_elsewhere(memory, local):
    labels = np.arange(len(local.vertices), dtype=np.int32)
    surface = local.info["files"]["surface.ply"]["sha256"]
    for step in (1, 2):  # the second time over the first, which was kept
        write_layer(memory, "mine", labels[::-1] // step, surface, "global", BY)
        scene = PreparedScene(memory)
        np.testing.assert_array_equal(scene.sets("mine"), labels[::-1] // step)
        assert scene.layers == ["geometric", "mine"] and scene.scope("mine") == "global"


def test_a_grouping_that_is_written_again(memory):
    scene = PreparedScene(memory)
    for count in (2, 3):
        groups = np.arange(scene.sets().max() + 1) % count
        write_grouping([scene], "own", "geometric", [groups], count, BY)
        np.testing.assert_array_equal(read_groups(scene, "own")[1], groups)


def test_layers_and_groups_are_made_elsewhere_as_here(memory, local, tmp_path):
    here = PreparedScene(shutil.copytree(local.path, tmp_path / local.name))
    there = PreparedScene(memory)
    settings = LayerSettings(threshold=(0.3,), min_vertices=100)
    for status in ("made", "finished before"):
        [report] = make_layers(there, settings)
        assert report.status == status and make_layers(here, settings) == [report]
    name = report.layer
    np.testing.assert_array_equal(there.sets(name), here.sets(name))
    groups = [np.arange(here.sets(name).max() + 1) % 2]
    for scene in (here, there):
        write_grouping([scene], "two", name, groups, 2, BY)
    np.testing.assert_array_equal(read_groups(there, "two")[1], groups[0])


def test_nothing_is_written_over_http(server, local):
    labels = np.zeros(len(local.vertices), dtype=np.int32)
    expected = (
        f"{server.scene}/sets/mine.json: cannot be written, HTTP only reads. Run the same command "
        "on a copy on this machine, and copy the result to where it is served from"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        write_layer(server.scene, "mine", labels, "", "scene", BY)
    expected = f"{server.scene}: cannot be written, HTTP only reads."
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(server.scene).folder.check_writable()


def test_folders_are_made_but_no_bucket():
    made = []
    mkdir = lambda path, create_parents: made.append(path)  # noqa: E731
    fs = SimpleNamespace(exists=made.__contains__, mkdir=mkdir)
    transfer.make_folders(fs, "bucket/room/sets")
    transfer.make_folders(fs, "bucket/room/groups")
    assert made == ["bucket/room", "bucket/room/sets", "bucket/room/groups"]


def test_a_layer_that_is_not_there(url):
    expected = f"{url}: has no layer 'semantic'; available: geometric"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(url).sets("semantic")
