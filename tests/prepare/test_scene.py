"""The stored format: what is written comes back, and damage is named."""

import json
import re
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.ply import read_ply, read_ply_properties
from geoset.prepare.data_set import find_scenes
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import FORMAT_VERSION, PreparedScene, look_up, write_layer
from geoset.recipes import PrepareSettings
from reference.box_room import CAMERA, POSES, paint, see, write_box_room


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    scan = write_box_room(folder / "scene")
    size = CAMERA.height, CAMERA.width
    prepare_scene(scan, folder / "prepared", PrepareSettings(image_size=size))
    return folder / "prepared/scene"


@pytest.fixture
def folder(prepared, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(prepared, tmp_path / "scene")


def edit_info(folder, **changes):
    info = json.loads((folder / "scene.json").read_text()) | changes
    (folder / "scene.json").write_text(json.dumps(info))


def surface_stamp(folder):
    return PreparedScene(folder).info["files"]["surface.ply"]["sha256"]


def test_everything_comes_back(prepared):
    scene = PreparedScene(prepared)
    assert len(scene) == 4 and scene.has_depth and scene.name == "scene"
    for i, pose in enumerate(POSES):
        view = see(CAMERA, pose)
        assert np.abs(scene.image(i).astype(int) - paint(view.points)).mean() < 3
        assert scene.depth(i).dtype == np.float32
        np.testing.assert_allclose(scene.depth(i), view.depth, atol=0.00051)
        assert scene.vertex_map(i).dtype == np.int32
        np.testing.assert_array_equal(scene.vertex_map(i)[view.clear], view.vertex[view.clear])
        np.testing.assert_array_equal(scene.set_map(i), scene.sets()[scene.vertex_map(i)])
        camera = scene.camera(i)
        assert (camera.height, camera.width) == (96, 128)
    assert scene.vertices.dtype == np.float32 and scene.vertices.shape[1] == 3
    assert scene.faces.dtype == np.int32 and scene.colors.shape == scene.vertices.shape
    assert scene.pairs.dtype == np.int32 and scene.overlap.dtype == np.float32
    assert (scene.pairs[:, 0] < scene.pairs[:, 1]).all() and len(scene.pairs) == len(scene.overlap)


def test_frames_are_an_ordinary_tar(prepared, tmp_path):
    scene = PreparedScene(prepared)
    with tarfile.open(prepared / "frames.tar") as tar:
        assert tar.getnames() == [
            f"{i:06d}.{part}" for i in range(4) for part in ("jpg", "depth.png", "vertices.zst")
        ]
        tar.extractall(tmp_path, filter="data")
    with Image.open(tmp_path / "000002.depth.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.round(scene.depth(2) * 1000))
    with Image.open(tmp_path / "000002.jpg") as image:
        gap = np.asarray(image).astype(int) - scene.image(2)
    assert np.abs(gap).max() <= 3  # of two decoders


def test_the_surface_is_an_ordinary_ply(prepared):
    mesh = read_ply(prepared / "surface.ply")
    np.testing.assert_array_equal(mesh.vertices, PreparedScene(prepared).vertices)
    source = read_ply_properties(prepared / "surface.ply")["source_vertex"]
    np.testing.assert_array_equal(source, np.arange(len(mesh.vertices)))


def test_unseen_stays_minus_one():
    labels, vertex_map = np.array([7, 8, 9]), np.array([[0, -1], [2, 1]])
    assert look_up(labels, vertex_map).tolist() == [[7, -1], [9, 8]]
    assert look_up(labels.astype(np.int64) << 32, vertex_map)[0, 1] == -1


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_layer_of_ones_own(folder, dtype):
    scene = PreparedScene(folder)
    labels = np.arange(len(scene.vertices)).astype(dtype)[::-1]
    write_layer(folder, "mine", labels, surface_stamp(folder), "global", {"by": "hand"})
    scene = PreparedScene(folder)
    assert scene.layers == ["geometric", "mine"]
    np.testing.assert_array_equal(scene.sets("mine"), labels)
    np.testing.assert_array_equal(scene.set_map(1, "mine"), labels[scene.vertex_map(1)])
    assert scene.scope("mine") == "global" and scene.scope("geometric") == "scene"
    stamp = json.loads((folder / "sets/mine.json").read_text())
    assert stamp["scope"] == "global" and stamp["made_by"] == {"by": "hand"}


def test_a_layer_that_is_not_there(folder):
    write_layer(folder, "mine", np.zeros(3, np.int32), "", "scene", {})
    expected = f"{folder}: has no layer 'semantic'; available: geometric, mine"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(folder).sets("semantic")
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(folder).scope("semantic")


def test_a_layer_with_an_unknown_scope(folder):
    expected = "layer mine: scope is 'room', expected one of scene, global"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        write_layer(folder, "mine", np.zeros(3, np.int32), surface_stamp(folder), "room", {})
    assert not (folder / "sets/mine.npy").exists()


@pytest.mark.parametrize("damage", ["stamp", "length"])
def test_a_layer_of_another_surface(folder, damage):
    count = len(PreparedScene(folder).vertices)
    labels = np.zeros(count - (damage == "length"), dtype=np.int32)
    stamp = "0" * 64 if damage == "stamp" else surface_stamp(folder)
    write_layer(folder, "mine", labels, stamp, "scene", {})
    expected = f"{folder}/sets/mine.npy: belongs to another surface (it has {len(labels)} labels"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(folder).set_map(0, "mine")


@pytest.mark.parametrize("lost", ["geometric.json", "half of geometric.npy", "geometric.npy"])
def test_a_layer_that_cannot_be_read(folder, lost):
    if lost == "geometric.json":
        (folder / "sets/geometric.json").unlink()
    elif lost == "geometric.npy":
        (folder / "sets/geometric.npy").write_bytes(b"")
    else:
        cut_in_half(folder / "sets/geometric.npy")
    with pytest.raises(GeosetError, match=r"geometric.npy: cannot be read .*make it again"):
        PreparedScene(folder).sets()


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["frames.tar", "surface.ply", "pairs.npz"])
@pytest.mark.parametrize("lost", ["all", "half"])
def test_a_file_that_is_lost_or_cut(folder, name, lost):
    size = (folder / name).stat().st_size
    if lost == "all":
        (folder / name).unlink()
        found = "is missing"
    else:
        cut_in_half(folder / name)
        found = f"has {size // 2} bytes"
    expected = (
        f"{folder / name}: {found}, expected {size} bytes; the scene is damaged. "
        "Remove its folder and run geoset prepare again"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(folder)


@pytest.mark.parametrize("kind", ["image", "depth", "vertex_map"])
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_damaged_member(folder, kind, part):
    scene = PreparedScene(folder)
    start, size = scene.info["frames"][1]["members"][kind]
    with (folder / "frames.tar").open("r+b") as file:
        file.seek(start if part == "head" else start + size // 2)
        file.write(bytes([0x55]) * (size // 3))
    expected = (
        rf"frames\.tar: {kind} of frame 000001 is damaged \(.+\)\. Remove the scene's folder and "
        "run geoset prepare again"
    )
    with pytest.raises(GeosetError, match=expected):
        getattr(PreparedScene(folder), kind)(1)
    getattr(PreparedScene(folder), kind)(2)  # the others are as good as ever


def test_damaged_pairs(folder):
    path = folder / "pairs.npz"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(GeosetError, match=r"pairs\.npz: is damaged .*run geoset prepare again"):
        _ = PreparedScene(folder).pairs


def test_a_scene_of_another_version(folder):
    edit_info(folder, format_version=99, geoset_version="7.0")
    expected = (
        f"{folder}: was prepared in format 99 by geoset 7.0, this version reads format "
        f"{FORMAT_VERSION}. Run geoset prepare again"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        PreparedScene(folder)


@pytest.mark.parametrize("text", ["", '{"frames": [', "[]", "{}", "\x00\xff"])
def test_a_damaged_scene_file(folder, text):
    (folder / "scene.json").write_text(text)
    with pytest.raises(GeosetError, match=r"scene\.json: cannot be read .*run geoset prepare"):
        PreparedScene(folder)


def test_a_scene_file_that_lacks_something(folder):
    (folder / "scene.json").write_text(json.dumps({"format_version": FORMAT_VERSION, "scan": {}}))
    with pytest.raises(GeosetError, match=r"has no files, frames, settings, surface; the scene is"):
        PreparedScene(folder)


def test_not_a_scene(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        expected = f"{path}: holds no prepared scene (no scene.json); make one with: geoset prepare"
        with pytest.raises(GeosetError, match=re.escape(expected)):
            PreparedScene(path)


def test_scenes_are_found_here_and_one_level_below(folder, tmp_path):
    second = shutil.copytree(folder, tmp_path / "again")
    (tmp_path / "unfinished").mkdir()
    assert find_scenes([tmp_path]) == [second, folder]
    assert find_scenes([folder]) == [folder]
    expected = f"{tmp_path / 'unfinished'}: holds no prepared scene (no scene.json in it or one"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        find_scenes([folder, tmp_path / "unfinished"])
