"""Names for sets, what vertices they reach, and the label images that fine-tuning reads."""

import json
import shutil
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from geoset.prepare.named_sets import NamedSets, check_all_open, export_labels, load_names
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.recipes import PrepareSettings
from geoset.tasks.prepare import prepare
from reference.box_room import first_vertex, write_box_room


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The box room; layer `walls` has a set a wall, and `halves` 0 and 1 for the first vertices."""
    folder = tmp_path_factory.mktemp("box")
    write_box_room(folder / "scans/box")
    prepare(folder / "scans", folder / "prepared", PrepareSettings(image_size=(96, 128)))
    scene = PreparedScene(folder / "prepared/box")
    count = len(scene.vertices)
    walls = np.searchsorted(first_vertex(np.arange(1, 7)), np.arange(count), side="right")
    surface = scene.info["files"]["surface.ply"]["sha256"]
    write_layer(scene.path, "walls", walls.astype(np.int32), surface, "scene", {})
    halves = (np.arange(count) >= count // 2).astype(np.int32)
    write_layer(scene.path, "halves", halves, surface, "scene", {})
    return PreparedScene(scene.path)


def test_the_later_name_counts_and_undo_brings_the_earlier_back():
    layers = {"coarse": np.array([0, 0, 0, 1]), "fine": np.array([0, 1, 1, -1])}
    info = {"surface": {"vertices": 4}}
    scene = SimpleNamespace(path="here", info=info, sets=layers.__getitem__)
    named = NamedSets(scene)
    named.name("coarse", 0, "wall")
    named.name("fine", 1, "  picture \n frame ")
    assert named.classes == ["picture frame", "wall"]
    assert named.class_of_vertex(named.classes).tolist() == [1, 0, 0, -1]
    named.name("fine", 0, "")
    assert named.classes == ["picture frame"]  # no vertex is a wall any more
    assert named.class_of_vertex(named.classes).tolist() == [-1, 0, 0, -1]
    assert named.undo().name == ""
    assert named.undo().name == "picture frame"
    assert named.class_of_vertex(["wall"]).tolist() == [0, 0, 0, -1]
    named.undo()
    assert named.undo() is None
    with pytest.raises(GeosetError, match="here: layer 'fine' has no set 7"):
        named.name("fine", 7, "door")


def test_names_are_kept(scene, tmp_path):
    named = load_names(scene, tmp_path)
    assert named.given == []
    named.name("walls", 4, "floor")
    named.name("halves", 1, "lamp")
    named.save(tmp_path)
    assert load_names(scene, tmp_path).given == named.given
    check_all_open([scene], tmp_path)
    with pytest.raises(GeosetError, match=r"not open \(box\); open them as well, or .* --out"):
        check_all_open([], tmp_path)


def test_a_layer_that_is_gone_is_said_in_one_line(scene, tmp_path):
    scene = PreparedScene(shutil.copytree(scene.path, tmp_path / "box"))
    named = NamedSets(scene)
    named.name("walls", 4, "floor")
    named.save(tmp_path)
    for file in (scene.path / "sets").glob("walls.*"):
        file.unlink()
    with pytest.raises(GeosetError, match=r"walls\.npy: cannot be read .*; make it again"):
        load_names(PreparedScene(scene.path), tmp_path)


def test_labels_of_other_making_are_not_overwritten(scene, tmp_path):
    (tmp_path / "classes.txt").write_text("1 my own\n")
    with pytest.raises(GeosetError, match=r"were not made here; .* Choose another --out"):
        check_all_open([scene], tmp_path)


def test_names_of_a_layer_made_anew_are_refused(scene, tmp_path):
    named = NamedSets(scene)
    named.name("walls", 4, "floor")
    named.save(tmp_path)
    file = tmp_path / "named_sets/box.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"layers": {"walls": "0" * 64}}))
    with pytest.raises(GeosetError, match=r"box\.json: names sets of layer 'walls', which .* anew"):
        load_names(scene, tmp_path)
    file.write_text("{}")
    with pytest.raises(GeosetError, match=r"box\.json: cannot be read .* remove it"):
        load_names(scene, tmp_path)


def test_exported_labels_are_read_by_fine_tuning(scene, tmp_path):
    named = NamedSets(scene)
    for wall in range(4):
        named.name("walls", wall, "wall")
    named.name("walls", 4, "floor")
    done = export_labels([named], tmp_path)
    assert done.classes == ["floor", "wall"]
    assert (done.train, done.val) == ([f"box/{i:06d}" for i in range(3)], ["box/000003"])
    assert (tmp_path / "classes.txt").read_text() == "1 floor\n2 wall\n"
    wall_of_vertex = scene.sets("walls")
    for i, name in enumerate([*done.train, *done.val]):
        labels = np.asarray(Image.open(tmp_path / f"labels/{name}.png"))
        vertex_map = scene.vertex_map(i)
        wall = np.where(vertex_map >= 0, wall_of_vertex[vertex_map], 5)  # the ceiling has no name
        assert np.array_equal(labels, np.array([2, 2, 2, 2, 1, 0])[wall])
        image = np.asarray(Image.open(tmp_path / f"images/{name}.jpg"))
        assert np.abs(image.astype(int) - scene.image(i)).max() <= 3  # two decoders of one JPEG
    vertices = np.load(tmp_path / "vertices/box.npy")
    assert np.array_equal(vertices, np.array([2, 2, 2, 2, 1, -1])[wall_of_vertex])
    train = open_labelled(tmp_path, "train")
    assert (train.classes, len(train)) == (("floor", "wall"), 3)


def test_frames_that_see_no_named_set_any_more_are_removed(scene, tmp_path):
    named = NamedSets(scene)
    for wall in range(6):
        named.name("walls", wall, f"wall {wall}")
    export_labels([named], tmp_path)
    assert len(list(tmp_path.rglob("*.png"))) == 4
    seen_by = [set(np.unique(scene.set_map(i, "walls"))) for i in range(4)]
    counts = {
        pair: sum(not seen.isdisjoint(pair) for seen in seen_by)
        for pair in combinations(range(6), 2)
        if all(any(wall in seen for seen in seen_by) for wall in pair)
    }
    (a, b), count = next((pair, count) for pair, count in counts.items() if 2 <= count < 4)
    again = NamedSets(scene)
    again.name("walls", a, "one")
    again.name("walls", b, "other")
    export_labels([again], tmp_path)
    assert len(list(tmp_path.rglob("*.png"))) == len(list(tmp_path.rglob("*.jpg"))) == count


def test_too_little_is_named(scene, tmp_path):
    named = NamedSets(scene)
    named.name("walls", 4, "floor")
    with pytest.raises(GeosetError, match=r"1 classes are named \(floor\), expected 2 to 254"):
        export_labels([named], tmp_path)
    assert list(tmp_path.iterdir()) == []
