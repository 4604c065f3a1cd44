"""What `inspect` says of scans and prepared scenes."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.scans.detect import open_scan
from geoset.scans.scan import SurfaceLabels
from geoset.tasks.inspect import inspect
from reference.box_room import CAMERA, POSES, box_mesh, see, write_box_room
from scan_folders import write_folder_scan


@pytest.fixture
def scene(prepared_rooms, tmp_path):
    return shutil.copytree(prepared_rooms / "a", tmp_path / "scene")


@pytest.fixture
def said(capsys, monkeypatch):
    """Inspect; return the values of the table that is printed, by their names."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(path, **options):
        inspect(path, **options)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
        cells = [line.strip("│").split("│") for line in lines]
        return {name.strip(): value.strip() for name, value in cells}

    return run


def test_a_scan(tmp_path, said):
    depths = [see(CAMERA, pose).depth for pose in POSES]
    depths[0][:24] = 0  # a quarter of one of two frames
    scan = write_box_room(tmp_path / "room", depths=depths)
    (scan / "depth/000003.png").write_bytes(b"")
    np.savetxt(scan / "pose/000002.txt", np.full((4, 4), np.nan))
    found = said(scan)
    assert found["layout"] == "one folder a kind"
    assert found["usable frames"] == "2 (000000 .. 000001)"
    assert found["rejected: pose has non-finite entries"] == "1 (000002)"
    assert found["rejected: unreadable depth file"] == "1 (000003)"
    # 2 atan(64 / 100) = 65 degrees
    assert found["colour"] == "128x96, f 100.0 104.0, centre 63.2 48.9, 65 degrees wide"
    assert found["depth"] == found["colour"]
    assert found["depth holes"] == "12% of pixels (in 2 frames)"
    mesh = box_mesh()
    assert found["mesh"] == f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces"
    assert found["label images"] == "none (not needed)"
    walk = np.abs(POSES[1][:3, 3] - POSES[0][:3, 3])
    assert found["camera walk"] == " x ".join(f"{extent:.1f}" for extent in walk) + " m"
    cosine = POSES[0][:3, 2] @ POSES[1][:3, 2]
    assert found["between frames"].startswith(
        f"median {np.linalg.norm(walk):.2f} m and {np.degrees(np.arccos(cosine)):.0f} degrees"
    )


def test_depth_that_holds_nothing(tmp_path, said):
    depths = [np.zeros((96, 128), dtype=np.uint16)] * 2
    found = said(write_box_room(tmp_path / "room", POSES[:2], depths=depths))
    assert found["depth values"] == "none valid in 2 frames"


def test_a_scan_of_colour_alone(tmp_path, said):
    found = said(write_box_room(tmp_path / "room", POSES[:2], depths=None))
    assert found["depth"] == "none: the mesh alone says what a pixel sees, and nothing checks it"


def test_a_room_with_labels_and_no_mesh(rooms, said):
    found = said(rooms / "a")
    assert found["mesh"] == "none: the surface will be fused from depth"
    assert found["label images"] == "instance of 6 frames, semantic of 6 frames"


def test_neither_mesh_nor_depth(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    scan = write_box_room(tmp_path / "room", POSES[:2], depths=None)
    (scan / "mesh.ply").unlink()
    inspect(scan)
    text = capsys.readouterr().out
    assert "without depth and mesh there is no surface: the scan cannot be prepared" in text
    assert text.endswith("next: export depth images, or a mesh.ply, into the scan's folder\n")


def test_a_mesh_that_cannot_be_used(tmp_path, said):
    scan = write_box_room(tmp_path / "room", POSES[:2])
    write_ply(scan / "mesh.ply", TriangleMesh(np.eye(3), np.empty((0, 3), np.int32)))
    expected = "3 vertices, 0 faces: a surface needs faces; remove it to have one fused from depth"
    assert said(scan)["mesh"] == expected
    (scan / "mesh.ply").write_bytes(b"ply\n")
    assert said(scan)["mesh"].startswith(f"cannot be used: {scan / 'mesh.ply'}: not a usable PLY")


def test_labels_of_the_mesh_masks_and_notes(tmp_path, said, monkeypatch, capsys):
    scan = open_scan(write_box_room(tmp_path / "room", POSES[:2]))
    labels = SurfaceLabels(lambda: np.zeros(len(scan.mesh.vertices), int), "scene", "segs.json")
    scan.surface_labels, scan.full_rate, scan.notes = {"official": labels}, True, ["Look [here]."]
    scan.frames[1] = replace(scan.frames[1], read_mask=lambda: np.zeros((4, 4)))
    monkeypatch.setattr("geoset.tasks.inspect.open_scan", lambda path: scan)
    found = said(tmp_path / "room")
    assert found["labels of the mesh"] == "official (segs.json)"
    assert found["masks"] == "of 1 frames"
    assert found["of them"] == "every 25th is used, for it is a video (--frame-step)"
    inspect(tmp_path / "room")
    assert "\nnote: Look [here].\nnext: geoset prepare " in capsys.readouterr().out


def test_many_scans_are_summed_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    K = np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
    images, depths = np.zeros((3, 3, 4, 3), np.uint8), np.ones((3, 3, 4))
    for k in range(12):
        write_folder_scan(tmp_path / f"scan{k:02d}", images, depths, [np.eye(4)] * 3, K)
    (tmp_path / "scan03/pose/000001.txt").unlink()
    (tmp_path / "scan05/intrinsics.txt").unlink()
    (tmp_path / "notes").mkdir()
    assert inspect(tmp_path) == []
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "one folder a kind" in line)
    assert row.split()[-5:] == ["11", "32", "1", "11", "0"]
    assert "rejected frames: 1 x no pose file" in lines
    (unusable,) = (line for line in lines if line.startswith("cannot be used: "))
    assert "scan05: no colour intrinsics" in unusable
    assert "not scans: notes" in lines
    assert lines[-1] == (
        f"next: geoset inspect {tmp_path / 'scan00'}, or geoset prepare {tmp_path} OUT"
    )


def test_a_prepared_scene(scene, rooms, said):
    found = said(scene)
    prepared = PreparedScene(scene)
    assert found["from"] == f"{rooms / 'a'} (one folder a kind)"
    assert found["frames"] == "6 of 64x48"
    vertices, faces = len(prepared.vertices), len(prepared.faces)
    assert found["surface"] == f"{vertices} vertices, {faces} faces, fused depth"
    sets, sizes = np.unique(prepared.sets(), return_counts=True)
    median = f"{np.median(sizes):.0f}"
    assert found["layer geometric"] == f"{len(sets)} sets, median {median} vertices"
    assert found["pairs"] == f"{len(prepared.pairs)} kept of {len(prepared.pairs)}"
    seen = [
        (prepared.vertex_map(i)[prepared.depth(i) > 0] >= 0).mean() for i in range(len(prepared))
    ]
    assert found["covered"] == f"{np.mean(seen):.1%} of pixels with depth see the surface"
    worst = max(prepared.info["frames"], key=lambda frame: frame["residual"])
    assert f"worst frame {worst['id']} {worst['residual'] * 1000:.1f} mm" in found["residual"]
    with Image.open(scene / "contact_sheet.png") as picture:
        assert picture.width > 4 * 64 and picture.height > 4 * 48


def test_layers_of_ones_own_are_listed(scene, said):
    stamp = PreparedScene(scene).info["files"]["surface.ply"]["sha256"]
    labels = np.arange(len(PreparedScene(scene).vertices), dtype=np.int32) // 10
    write_layer(scene, "tens", labels[::-1].copy(), stamp, "scene", {})
    assert said(scene)["layer tens"].endswith("sets, median 10 vertices")
    write_layer(scene, "none", np.full_like(labels, -1), stamp, "scene", {})
    assert said(scene)["layer none"] == "0 sets"


def test_the_picture_goes_where_it_is_asked_to(scene, tmp_path, capsys):
    out = tmp_path / "pictures/sheet.png"
    assert inspect(scene, out, frames=1) == [out]
    assert out.is_file() and not (scene / "contact_sheet.png").exists()


def test_a_folder_of_scenes(prepared_rooms, tmp_path, capsys):
    folder = shutil.copytree(prepared_rooms, tmp_path / "scenes")
    pictures = inspect(folder)
    assert pictures == [folder / name / "contact_sheet.png" for name in ("a", "b")]
    with pytest.raises(GeosetError, match="holds 2 scenes; name one of them to use --out"):
        inspect(folder, tmp_path / "sheet.png")


def test_many_scenes_are_summed_up_and_not_drawn(prepared_rooms, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for k in range(11):
        shutil.copytree(prepared_rooms / "a", tmp_path / f"room{k:02d}")
    assert inspect(tmp_path) == []
    text = capsys.readouterr().out
    assert "room10 (finished before)" in text
    assert text.endswith(
        f"next: geoset inspect {tmp_path / 'room00'} checks that one, and draws it\n"
    )
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("name", ["frames.tar", "surface.ply", "pairs.npz"])
def test_content_that_changed(scene, name):
    file = scene / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    expected = f"{file}: its content changed since it was prepared. Remove the scene's folder"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        inspect(scene)
    assert not (scene / "contact_sheet.png").exists()


def test_brackets_in_names_are_shown(prepared_rooms, tmp_path, said):
    scene = shutil.copytree(prepared_rooms / "a", tmp_path / "[bold]x [red]")
    assert said(scene)["picture"] == str(scene / "contact_sheet.png")
