"""Layers of every kind on a prepared scene."""

import json
import re
import shutil

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.prepare.layers import make_layers, read_vertex_labels
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import LayerSettings, PrepareSettings
from reference.box_room import CAMERA, HIGH, LOW, POSES, first_vertex, see, write_box_room

SIZE = (96, 128)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """The folders of the scan and of the scene."""
    folder = tmp_path_factory.mktemp("layers")
    scan = write_box_room(folder / "room", labels=[see(CAMERA, pose).wall + 1 for pose in POSES])
    prepare_scene(scan, folder / "out", PrepareSettings(image_size=SIZE))
    return scan, folder / "out/room"


@pytest.fixture
def scene(rooms, tmp_path):
    """A copy of the scene that a test may write to."""
    return PreparedScene(shutil.copytree(rooms[1], tmp_path / "room"))


def again(scene):
    return PreparedScene(scene.path)


def test_a_threshold_gives_what_preparing_with_it_gives(rooms, scene, tmp_path):
    settings = PrepareSettings(image_size=SIZE, threshold=0.3, min_vertices=150)
    prepare_scene(rooms[0], tmp_path / "other", settings)
    other = PreparedScene(tmp_path / "other/room")
    reports = make_layers(scene, LayerSettings(threshold=(0.01, 0.3), min_vertices=150))
    names = ["geometric-0.01-150", "geometric-0.3-150"]
    assert [(r.layer, r.status) for r in reports] == [(name, "made") for name in names]
    assert again(scene).layers == ["geometric", *names]
    np.testing.assert_array_equal(again(scene).sets(names[1]), other.sets())
    assert reports[1].sets == other.info["sets"] and reports[1].labelled == 1
    stamps = [
        json.loads((folder / f"sets/{name}.json").read_text())
        for folder, name in ((scene.path, names[1]), (other.path, "geometric"))
    ]
    assert stamps[0] == stamps[1]


def test_the_default_number_of_vertices_is_not_in_the_name(scene):
    (report,) = make_layers(scene, LayerSettings(threshold=(0.01,)))
    assert report.layer == "geometric-0.01"
    np.testing.assert_array_equal(again(scene).sets("geometric-0.01"), scene.sets())


def test_layers_that_are_there_are_left_alone(scene):
    make_layers(scene, LayerSettings(threshold=(0.02,)))
    file = scene.path / "sets/geometric-0.02.npy"
    before = file.stat().st_mtime_ns
    reports = make_layers(again(scene), LayerSettings(threshold=(0.02, 0.03)))
    assert [report.status for report in reports] == ["finished before", "made"]
    assert file.stat().st_mtime_ns == before and reports[0].sets > 0


@pytest.mark.parametrize("left", ["no stamp", "half a stamp", "another surface"])
def test_half_written_and_outdated_layers_are_made_again(scene, left):
    make_layers(scene, LayerSettings(threshold=(0.02,)))
    labels, stamp = again(scene).sets("geometric-0.02")[:], scene.path / "sets/geometric-0.02.json"
    if left == "no stamp":
        stamp.unlink()
    else:
        text = stamp.read_text()
        digest = scene.info["files"]["surface.ply"]["sha256"]
        stamp.write_text(text[:20] if left == "half a stamp" else text.replace(digest, "0" * 64))
    (report,) = make_layers(again(scene), LayerSettings(threshold=(0.02,)))
    assert report.status == "made"
    np.testing.assert_array_equal(again(scene).sets("geometric-0.02"), labels)


def save(folder, labels):
    folder.mkdir(exist_ok=True)
    np.save(folder / "room.npy", labels)
    return LayerSettings(labels=folder, name="mine")


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8])
def test_labels_of_the_surface(scene, tmp_path, dtype):
    labels = (np.arange(len(scene.vertices)) % 100).astype(dtype)
    if dtype != np.uint8:
        labels[:30] = -1
    (report,) = make_layers(scene, save(tmp_path / "labels", labels))
    assert again(scene).scope("mine") == "scene" and again(scene).sets("mine").dtype == np.int32
    np.testing.assert_array_equal(again(scene).sets("mine"), labels)
    assert report.sets == 100 and report.labelled == (labels.astype(int) >= 0).mean()
    settings = LayerSettings(labels=tmp_path / "labels", name="mine")
    assert make_layers(again(scene), settings)[0].status == "finished before"


def coarse_box():
    """Each wall a square of four vertices and two faces: edges are far over 4 cm."""
    vertices = []
    for axis in range(3):
        for side in (LOW, HIGH):
            for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = np.insert(np.array([u, v], dtype=float), axis, 0)
                point = LOW + corner * (HIGH - LOW)
                point[axis] = side[axis]
                vertices.append(point)
    first = 4 * np.arange(6)[:, None]
    faces = np.concatenate([first + np.array(three) for three in ((0, 1, 2), (0, 2, 3))])
    return TriangleMesh(np.array(vertices, np.float32), faces.astype(np.int32))


def test_labels_of_the_mesh_are_carried_over_to_a_finer_surface(tmp_path):
    scan = write_box_room(tmp_path / "room", mesh=coarse_box())
    prepare_scene(scan, tmp_path / "out", PrepareSettings(image_size=SIZE))
    scene = PreparedScene(tmp_path / "out/room")
    assert scene.info["surface"]["mesh_vertices"] == 24 < len(scene.vertices)
    make_layers(scene, save(tmp_path / "labels", np.repeat(np.arange(6), 4)))
    labels, on_wall = again(scene).sets("mine"), np.empty((len(scene.vertices), 6), bool)
    for wall in range(6):
        axis = wall // 2
        on_wall[:, wall] = np.abs(scene.vertices[:, axis] - (LOW, HIGH)[wall % 2][axis]) < 1e-5
    assert on_wall[np.arange(len(labels)), labels].all()
    assert len(np.unique(labels[on_wall.sum(axis=1) == 1])) == 6


def test_labels_of_the_mesh_are_carried_over_to_a_coarser_surface(tmp_path):
    """Vertices every 5 mm along strips: clustered, each keeps the label of a vertex close by."""
    i, j = np.meshgrid(np.arange(401), np.arange(301), indexing="ij")
    grid = np.stack([LOW[0] + 0.005 * i, LOW[1] + 0.005 * j, np.full(i.shape, 0.4)], axis=-1)
    number = np.arange(i.size).reshape(i.shape)
    corner = [
        c.ravel() for c in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
    ]
    faces = np.concatenate([np.stack([corner[k] for k in t], 1) for t in ((0, 1, 2), (0, 2, 3))])
    mesh = TriangleMesh(grid.reshape(-1, 3).astype(np.float32), faces.astype(np.int32))
    scan = write_box_room(tmp_path / "room", mesh=mesh)
    prepare_scene(scan, tmp_path / "out", PrepareSettings(image_size=SIZE, fill_holes=True))
    scene = PreparedScene(tmp_path / "out/room")
    assert len(scene.vertices) < scene.info["surface"]["mesh_vertices"] == i.size
    strips = (10 * mesh.vertices[:, 0]).astype(np.int64)
    make_layers(scene, save(tmp_path / "labels", strips))
    expected = (10 * scene.vertices[:, 0]).astype(np.int64)
    np.testing.assert_array_equal(again(scene).sets("mine"), expected)


def test_labels_for_neither_surface_nor_mesh(scene, tmp_path):
    count = len(scene.vertices)
    settings = save(tmp_path / "labels", np.zeros(count - 1, int))
    expected = (
        f"{tmp_path}/labels/room.npy: has {count - 1} labels, expected {count}, one for each "
        f"vertex of {scene.path}/surface.ply, or {count}, one for each of the mesh it was made from"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        make_layers(scene, settings)
    assert again(scene).layers == ["geometric"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0.5], "holds float64 of shape (V,), expected one integer a vertex, (V,), -1 = none"),
        ([[7]], "holds int64 of shape (V, 1), expected one integer a vertex"),
        ([-100], "has labels from -100 to -100, expected -1 (none) to 2147483647; renumber them"),
        ([2**31], "has labels from 2147483648 to 2147483648, expected -1 (none) to"),
    ],
)
def test_labels_of_another_kind(scene, tmp_path, value, text):
    count = len(scene.vertices)
    save(tmp_path / "labels", np.repeat(np.array(value), count, axis=0))
    text = text.replace("(V", f"({count}", 1) if "shape" in text else text
    with pytest.raises(GeosetError, match=re.escape(f"{tmp_path}/labels/room.npy: {text}")):
        read_vertex_labels(tmp_path / "labels/room.npy", scene)


def test_no_labels_at_all(scene, tmp_path):
    settings = LayerSettings(labels=tmp_path, name="mine")
    expected = f"{tmp_path}/room.npy: no such file; expected one .npy a scene, called as the scene"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        make_layers(scene, settings)
    (tmp_path / "room.npy").write_text("no numbers")
    with pytest.raises(GeosetError, match=r"room\.npy: cannot be read .*numpy\.save"):
        make_layers(scene, settings)


def test_label_images(scene):
    (report,) = make_layers(scene, LayerSettings(images="semantic"))
    assert report.layer == "semantic" and again(scene).scope("semantic") == "global"
    wall = np.repeat(np.arange(6), np.diff(first_vertex(np.arange(7))))
    labels = again(scene).sets("semantic")
    np.testing.assert_array_equal(labels[labels >= 0], wall[labels >= 0] + 1)
    assert report.made_by == {
        "images": "semantic", "voted": (labels >= 0).sum(), "tied": 0, "support": 1.0
    }  # fmt: skip
    assert make_layers(again(scene), LayerSettings(images="semantic"))[0].status == (
        "finished before"
    )


def test_a_name_that_is_taken(scene, tmp_path):
    settings = save(tmp_path / "labels", np.zeros(len(scene.vertices), int))
    make_layers(scene, settings)
    for other in (
        save(tmp_path / "labels", np.ones(len(scene.vertices), int)),
        LayerSettings(labels=tmp_path / "labels", name="mine", scope="global"),
        LayerSettings(labels=tmp_path / "labels", name="geometric"),
        LayerSettings(images="semantic", name="mine"),
    ):
        expected = (
            rf"layer '{other.name}' was made by .* with scope scene, now asked by .* with scope "
            rf"\w+\. Choose another --name, or remove {scene.path}/sets/{other.name}\.\*"
        )
        with pytest.raises(GeosetError, match=expected):
            make_layers(again(scene), other)
    assert (again(scene).sets("mine") == 0).all()
