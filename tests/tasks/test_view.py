"""geoset view: from prepared scenes to a page that answers, and errors before that."""

import sys
import urllib.request
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from two_rooms import prepare_quietly, write_two_rooms

from geoset.errors import GeosetError
from geoset.models.resunet import ResUNet
from geoset.prepare.scene import PreparedScene
from geoset.tasks import view as task
from geoset.viewer.session import Session
from plane_scans import write_plane_scan


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    prepare_quietly(write_two_rooms(folder / "scans"), folder / "prepared")
    return folder / "prepared"


def open_scenes(prepared):
    return [PreparedScene(prepared / name) for name in "ab"]


def test_the_page_is_served_and_controls_answer(prepared, tmp_path):
    window_module = pytest.importorskip("geoset.viewer.window")
    session = Session(open_scenes(prepared), tmp_path, lambda scene: scene.colors)
    window = window_module.Window(session, "localhost", 8491)
    try:
        with urllib.request.urlopen(f"http://localhost:{window.port}", timeout=20) as page:
            assert b"<html" in page.read().lower()
        for coloring in session.colorings:
            window.coloring.value = coloring
        window.frame.value = 4
        assert session.scene.frame_ids[4] in window.pairs.content
        said = []
        client = SimpleNamespace(add_notification=lambda *words, **_: said.append(words))
        camera = session.scene.world_from_camera(0)
        click = SimpleNamespace(
            client=client, ray_origin=camera[:3, 3], ray_direction=camera[:3, 2]
        )
        window.name.value = "wall"
        window._answer(window._name_set)(click)
        assert said[-1][0] == "wall"
        assert "wall: " in window.legend.content
        window._answer(window._export)(click)
        assert said[-1][0] == "Not possible"
        assert "1 classes are named (wall)" in said[-1][1]
        window._answer(window._undo)(click)
        assert "No set is named yet." in window.legend.content
        looks = SimpleNamespace(
            add_notification=print, atomic=nullcontext, camera=SimpleNamespace()
        )
        window._answer(window._choose_frame, 2)(SimpleNamespace(client=looks))
        assert window.frame.value == 2
        assert np.array_equal(looks.camera.position, session.scene.world_from_camera(2)[:3, 3])
        assert not window.cameras.value  # or its own picture would be all that is seen
        window._answer(window._choose_scene)(SimpleNamespace(target=SimpleNamespace(value="b")))
        assert session.scene.name == "b"
        assert window.frame.value == 0
    finally:
        window.stop()


def test_features_on_the_surface(prepared):
    scene = PreparedScene(prepared / "a")
    torch.manual_seed(0)
    model = ResUNet("resnet18", out_channels=8, width=0.125).eval()
    colors = task.feature_colors(model, scene)
    seen = np.unique(np.concatenate([scene.vertex_map(i).ravel() for i in range(len(scene))]))
    unseen = np.setdiff1d(np.arange(len(scene.vertices)), seen)
    assert colors.shape == scene.vertices.shape
    assert (colors[unseen] == 70).all()
    assert colors[seen[seen >= 0]].std(axis=0).min() > 10


def test_errors(prepared, tmp_path, monkeypatch):
    pytest.importorskip("viser")
    with pytest.raises(GeosetError, match="holds no prepared scene"):
        task.view([write_plane_scan(tmp_path / "scan")], tmp_path / "labels")
    with pytest.raises(GeosetError, match=r"nothing\.safetensors: no such file"):
        task.view([prepared], tmp_path / "labels", Path("nothing.safetensors"))
    for wrong, text in (
        ({"host": "192.0.2.1"}, r"--host 192\.0\.2\.1 --port 8080: cannot be opened \("),
        ({"port": 0}, "--port is 0, expected 1 to 65535"),
        ({"port": 99999}, "--port is 99999, expected 1 to 65535"),
    ):
        with pytest.raises(GeosetError, match=text):
            task.view([prepared], tmp_path / "labels", **wrong)
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.delitem(sys.modules, "geoset.viewer.window", raising=False)
    with pytest.raises(GeosetError, match=r"needs viser.*pip install viser trimesh"):
        task.view([prepared], tmp_path / "labels")
