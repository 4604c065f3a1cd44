"""From a scan to a prepared scene, in a room where everything is known in closed form."""

import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from folder_contents import contents
from geoset.errors import GeosetError
from geoset.geometry.camera import invert, transform
from geoset.geometry.mesh import TriangleMesh
from geoset.losses import match_pixels
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, write_layer
from geoset.recipes import PrepareSettings
from geoset.scans.detect import open_scan
from geoset.scans.scan import SurfaceLabels
from reference.box_room import (
    CAMERA,
    CELL,
    CELLS,
    PLANES,
    POSES,
    box_mesh,
    first_vertex,
    paint,
    see,
    write_box_room,
)
from reference.pairs import cell_of, mine_pairs_slowly

SETTINGS = PrepareSettings(image_size=(CAMERA.height, CAMERA.width))
VIEWS = [see(CAMERA, pose) for pose in POSES]


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    scan = write_box_room(folder / "room")
    assert prepare_scene(scan, folder / "out", SETTINGS).status == "prepared"
    return PreparedScene(folder / "out/room")


def test_the_mesh_is_kept_as_the_surface(box):
    mesh = box_mesh()
    np.testing.assert_array_equal(box.vertices, mesh.vertices)
    np.testing.assert_array_equal(box.faces, mesh.faces)
    assert box.offset.tolist() == [0, 0, 0]


def test_cameras_and_poses(box):
    assert box.frame_ids == ["000000", "000001", "000002", "000003"]
    for i, pose in enumerate(POSES):
        np.testing.assert_allclose(box.world_from_camera(i), pose, atol=1e-8)
        np.testing.assert_allclose(box.camera(i).K, CAMERA.K, atol=1e-6)


def test_vertex_maps(box):
    for i, view in enumerate(VIEWS):
        found = box.vertex_map(i)
        assert view.clear.mean() > 0.99
        np.testing.assert_array_equal(found[view.clear], view.vertex[view.clear])
        # Where two weights tie, or two walls meet, it is one of the vertices around the point.
        apart = np.linalg.norm(box.vertices[found] - view.points, axis=-1)
        assert apart.max() < np.sqrt(2) * CELL


def test_six_walls_are_six_sets(box):
    labels = box.sets()
    wall_of_vertex = np.repeat(np.arange(6), np.diff(first_vertex(np.arange(7))))
    np.testing.assert_array_equal(labels, wall_of_vertex)  # numbered by first appearance
    for i, view in enumerate(VIEWS):
        np.testing.assert_array_equal(box.set_map(i)[view.clear], view.wall[view.clear])
    assert box.info["sets"] == 6


def test_depth_residual_and_coverage(box):
    for i, (view, entry) in enumerate(zip(VIEWS, box.info["frames"], strict=True)):
        np.testing.assert_allclose(box.depth(i), view.depth, atol=0.00051)
        assert entry["residual"] < 0.0005
        assert entry["covered"] == entry["with_depth"] == 1


def test_colours_of_vertices_are_those_of_their_place(box):
    seen = np.unique([view.vertex for view in VIEWS])
    gap = box.colors[seen].astype(float) - paint(box.vertices[seen])
    assert np.abs(gap).mean() < 2 and np.abs(gap).max() < 25  # JPEG, and 2.5 cm
    unseen = np.setdiff1d(np.arange(len(box.vertices)), [box.vertex_map(i) for i in range(4)])
    assert (box.colors[unseen] == 128).all()


def test_pairs_and_overlaps(box):
    places = box_mesh().vertices.astype(float)
    cells = [{cell_of(place) for place in places[np.unique(view.vertex)]} for view in VIEWS]
    expected = mine_pairs_slowly(cells, 0.3)
    assert box.pairs.tolist() == [[first, second] for first, second, _ in expected]
    # pixels in doubt may add or lose a few cells of many hundreds
    np.testing.assert_allclose(box.overlap, [share for *_, share in expected], atol=0.003)
    assert 0 < len(expected) < 6
    count = len(expected)
    assert box.info["pairs"].items() >= {"found": count, "kept": count, "left_out": {}}.items()


def test_overlaps_of_all_pairs(tmp_path, box):
    every = prepare_scene(
        write_box_room(tmp_path / "room"), tmp_path / "out", replace(SETTINGS, min_overlap=0)
    )
    scene = PreparedScene(tmp_path / "out" / every.scene)
    places = scene.vertices.astype(float)
    cells = [{cell_of(place) for place in places[np.unique(scene.vertex_map(i))]} for i in range(4)]
    expected = mine_pairs_slowly(cells, 0)
    assert scene.pairs.tolist() == [[first, second] for first, second, _ in expected]
    np.testing.assert_allclose(scene.overlap, [share for *_, share in expected], rtol=1e-6)


def landing_in_closed_form(first, second):
    """Where points seen by a view land in another, and whether they match there."""
    points = transform(invert(POSES[second]), VIEWS[first].points)
    pixels, z = CAMERA.project(points)
    inside = (z > 0) & (pixels >= 0).all(-1) & (pixels < (CAMERA.width, CAMERA.height)).all(-1)
    column, row = np.where(inside[..., None], pixels, 0).astype(int).transpose(2, 0, 1)
    there = VIEWS[second].depth[row, column]
    return pixels, inside & (np.abs(z - there) < 0.05)


def test_pixel_matches_see_the_same_place(box):
    depth = torch.from_numpy(np.stack([box.depth(i) for i in range(4)]))
    K = torch.from_numpy(np.stack([box.camera(i).K for i in range(4)]))
    poses = torch.from_numpy(np.stack([box.world_from_camera(i) for i in range(4)]))
    matches = match_pixels(
        depth, K, poses, torch.from_numpy(box.pairs), generator=torch.Generator().manual_seed(0)
    )
    assert (matches.available > 0).all()
    for pair, (first, second) in enumerate(box.pairs):
        landing, matched = landing_in_closed_form(first, second)
        # half a millimetre of stored depth decides at the border of the image
        assert int(matches.available[pair]) == pytest.approx(matched.sum(), rel=0.01)
        source = matches.source[pair].numpy().astype(int)
        target = matches.target[pair].numpy()
        np.testing.assert_allclose(target, landing[source[:, 1], source[:, 0]], atol=0.1)
        row, column = target.astype(int).T[::-1]
        vertices = (
            box.vertices[box.vertex_map(first)[source[:, 1], source[:, 0]]],
            box.vertices[box.vertex_map(second)[row, column]],
        )
        # A vertex is up to a diagonal from its point, a pixel up to half its size from its centre.
        pixel = VIEWS[second].points
        steps = np.linalg.norm(np.diff(pixel, axis=0), axis=-1)[np.minimum(row, 94), column]
        apart = np.linalg.norm(vertices[0] - vertices[1], axis=1)
        assert (apart <= 2 * np.sqrt(2) * CELL + steps).mean() > 0.99
        assert np.median(apart) <= CELL


def welded(mesh):
    """Join the vertices that lie at one place; return the mesh and each vertex's new index."""
    grid = np.round((mesh.vertices - mesh.vertices.min(axis=0)) / CELL).astype(int)
    _, first, index = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    return TriangleMesh(mesh.vertices[first], index.reshape(-1)[mesh.faces].astype(np.int32)), index


def test_walls_that_share_their_borders_are_still_one_set_each(tmp_path):
    mesh, index = welded(box_mesh())
    scan = write_box_room(tmp_path / "room", POSES[:1], mesh=mesh)
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    scene = PreparedScene(tmp_path / "out/room")
    found = []
    for wall in range(6):
        a, b = PLANES[wall // 2]
        i, j = np.meshgrid(np.arange(2, CELLS[a] - 1), np.arange(2, CELLS[b] - 1), indexing="ij")
        inner = index.reshape(-1)[first_vertex(wall) + i * (CELLS[b] + 1) + j]
        found.append(np.unique(scene.sets()[inner]).tolist())
    assert [len(labels) for labels in found] == [1] * 6
    assert len({labels[0] for labels in found}) == 6


def move_cameras(scan, away):
    for k, pose in enumerate(POSES):
        moved = pose.copy()
        moved[:3, 3] += away
        np.savetxt(scan / f"pose/{k:06d}.txt", moved, fmt="%.9f")
    return scan


def test_a_room_far_from_the_origin(tmp_path):
    away = np.array([430_000.0, -5_100_000, 900])
    mesh = box_mesh()
    mesh = TriangleMesh(mesh.vertices.astype(np.float64) + away, mesh.faces)
    scan = move_cameras(write_box_room(tmp_path / "room", mesh=mesh), away)
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    scene = PreparedScene(tmp_path / "out/room")
    assert np.abs(scene.vertices).max() < 3 and np.abs(scene.offset - away).max() < 3
    np.testing.assert_allclose(scene.vertices + scene.offset, mesh.vertices, atol=1e-6)
    for i, view in enumerate(VIEWS):
        # six decimals of a pose are left at this distance
        assert (scene.vertex_map(i)[view.clear] == view.vertex[view.clear]).mean() > 0.999


def test_without_depth_images_the_rays_decide(tmp_path):
    scan = write_box_room(tmp_path / "room", POSES[:2], depths=None)
    info = prepare_scene(scan, tmp_path / "out", SETTINGS).info
    scene = PreparedScene(tmp_path / "out/room")
    assert not scene.has_depth and not info["has_depth"]
    clear = VIEWS[1].clear
    np.testing.assert_array_equal(scene.vertex_map(1)[clear], VIEWS[1].vertex[clear])
    assert [frame["residual"] for frame in info["frames"]] == [None, None]
    with pytest.raises(GeosetError, match="was prepared from a scan without depth images"):
        scene.depth(0)


def test_vertices_that_are_not_finite_cost_nothing_but_their_faces(tmp_path, box):
    """A vertex of no face must not upset what is counted over all vertices."""
    mesh, away = box_mesh(), np.float32([-5, -5, -5])  # by whole cells, to where cells are < 0
    extra = np.array([[np.nan, 0, 0], [np.inf, -np.inf, 1e30]], dtype=np.float32)
    count = len(mesh.vertices)
    broken = TriangleMesh(
        np.concatenate([mesh.vertices + away, extra]),
        np.concatenate([mesh.faces, np.int32([[0, 1, count], [0, 1, count + 9]])]),
    )
    scan = move_cameras(write_box_room(tmp_path / "room", mesh=broken), away)
    info = prepare_scene(scan, tmp_path / "out", SETTINGS).info
    scene = PreparedScene(tmp_path / "out/room")
    assert info["surface"]["faces with a non-finite vertex"] == 1
    assert info["surface"]["faces with a vertex index out of range"] == 1
    assert scene.pairs.tolist() == box.pairs.tolist()
    np.testing.assert_allclose(scene.overlap, box.overlap, atol=0.003)
    for i, view in enumerate(VIEWS):
        np.testing.assert_array_equal(scene.vertex_map(i)[view.clear], view.vertex[view.clear])


def test_every_second_frame(tmp_path):
    scan = write_box_room(tmp_path / "room")
    info = prepare_scene(scan, tmp_path / "out", replace(SETTINGS, frame_step=2)).info
    assert [frame["id"] for frame in info["frames"]] == ["000000", "000002"]
    assert info["scan"]["frames"] == 4 and info["rejected"] == []


def test_frames_without_use_are_rejected_with_their_reasons(tmp_path):
    depths = [view.depth.copy() for view in VIEWS]
    depths[0][:] = 0
    depths[1] += 1  # nowhere near the walls
    scan = write_box_room(tmp_path / "room", depths=depths)
    (scan / "depth/000002.png").write_bytes((scan / "depth/000002.png").read_bytes()[:300])
    info = prepare_scene(scan, tmp_path / "out", SETTINGS).info
    assert [tuple(entry) for entry in info["rejected"]] == [
        ("000000", "no valid depth"),
        ("000001", "sees no surface where its depth agrees"),
        ("000002", "unreadable depth file"),
    ]
    scene = PreparedScene(tmp_path / "out/room")
    assert scene.frame_ids == ["000003"]
    np.testing.assert_allclose(scene.depth(0), VIEWS[3].depth, atol=0.00051)


def test_no_frame_left(tmp_path):
    depths = [np.zeros_like(view.depth) for view in VIEWS]
    scan = write_box_room(tmp_path / "room", depths=depths)
    with pytest.raises(GeosetError) as error:
        prepare_scene(scan, tmp_path / "out", SETTINGS)
    assert str(error.value) == (
        f"{scan}: no frame is left (4 x no valid depth). See what it holds with: "
        f"geoset inspect {scan}"
    )
    with pytest.raises(GeosetError, match="holds no prepared scene"):
        PreparedScene(tmp_path / "out/room")


def test_neither_mesh_nor_depth(tmp_path):
    scan = write_box_room(tmp_path / "room", depths=None, mesh=None)
    with pytest.raises(GeosetError, match="has neither a mesh nor a readable depth image"):
        prepare_scene(scan, tmp_path / "out", SETTINGS)


def test_the_scene_says_where_it_comes_from(box):
    info = json.loads((box.path / "scene.json").read_text())
    assert info["scan"]["path"].endswith("/room") and info["scan"]["layout"] == "one folder a kind"
    assert info["settings"]["threshold"] == 0.01 and info["settings"]["image_size"] == [96, 128]
    assert info["surface"]["source"] == "mesh of the scan"
    assert {"format_version", "geoset_version"} <= info.keys()


def test_residuals_are_stored(box):
    assert box.residual.shape == box.overlap.shape and box.residual.dtype == np.float32
    assert box.residual.max() < 0.0005  # files hold whole millimetres
    assert 0 < box.info["pairs"]["residual"] < 0.0005


def test_pairs_of_a_frame_that_drifted_are_left_out(tmp_path, box):
    """Its depth still agrees with the surface, but 4 cm off, as where the surface is of others."""
    depths = [view.depth + (0.04 if k == 1 else 0) for k, view in enumerate(VIEWS)]
    scan = write_box_room(tmp_path / "room", depths=depths)
    info = prepare_scene(scan, tmp_path / "out", replace(SETTINGS, max_pair_residual=0.02)).info
    scene = PreparedScene(tmp_path / "out/room")
    with_it = (box.pairs == 1).any(axis=1)
    assert 0 < with_it.sum() < len(with_it)
    assert scene.pairs.tolist() == box.pairs[~with_it].tolist()
    assert info["pairs"]["left_out"] == {"residual above 0.02 m": int(with_it.sum())}


def labelled_box(tmp_path, monkeypatch, **labels):
    scan = open_scan(write_box_room(tmp_path / "room", POSES[:2]))
    labels = {name: SurfaceLabels(*given) for name, given in labels.items()}
    given = replace(scan, surface_labels=labels, notes=["poses are made up"])
    monkeypatch.setattr("geoset.prepare.run.open_scan", lambda _: given)
    info = prepare_scene(scan.path, tmp_path / "out", SETTINGS).info
    return PreparedScene(tmp_path / "out/room"), info


def test_labels_of_the_mesh_become_layers(tmp_path, monkeypatch):
    wall = np.repeat(np.arange(6), np.diff(first_vertex(np.arange(7))))
    wall[:5] = -1
    scene, info = labelled_box(tmp_path, monkeypatch, semantic=(lambda: wall, "global", "a.ply"))
    assert scene.layers == ["geometric", "semantic"]
    np.testing.assert_array_equal(scene.sets("semantic"), wall)
    assert scene.scope("semantic") == "global"
    stamp = json.loads((scene.path / "sets/semantic.json").read_text())
    assert stamp["made_by"] == {"file": "a.ply"}
    assert info["notes"] == ["poses are made up"]


def test_labels_are_carried_over_to_a_bisected_surface(tmp_path, monkeypatch):
    """A mesh of coarse cells, one of whose faces names no vertex: indices must not move."""
    mesh = box_mesh()
    coarse = TriangleMesh(mesh.vertices * 2, np.concatenate([[[0, 1, 10**6]], mesh.faces]))
    scan = write_box_room(tmp_path / "room", POSES[:1], depths=None, mesh=coarse)
    labels = np.arange(len(mesh.vertices))
    given = replace(
        open_scan(scan), surface_labels={"mine": SurfaceLabels(lambda: labels, "scene", "mine.txt")}
    )
    monkeypatch.setattr("geoset.prepare.run.open_scan", lambda _: given)
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    scene = PreparedScene(tmp_path / "out/room")
    assert len(scene.vertices) > 2 * len(labels)
    carried = scene.sets("mine")
    np.testing.assert_array_equal(carried[: len(labels)], labels)
    apart = np.linalg.norm(scene.vertices - coarse.vertices[carried], axis=1)
    assert apart.max() < 0.08  # a vertex of the edge that was bisected


def test_labels_that_do_not_fit_are_a_note(tmp_path, monkeypatch):
    def unreadable():
        raise GeosetError("b.json: cannot be read")

    count = len(box_mesh().vertices)
    scene, info = labelled_box(
        tmp_path,
        monkeypatch,
        semantic=(lambda: np.zeros(7, int), "global", "a.ply"),
        instance=(unreadable, "scene", "b.json"),
    )
    assert scene.layers == ["geometric"]
    assert info["notes"] == [
        "poses are made up",
        f"no layer 'semantic': a.ply has 7 labels, expected one for each of the mesh's {count} "
        "vertices",
        "no layer 'instance': b.json: cannot be read",
    ]


def test_a_scan_that_changed_is_prepared_again(tmp_path):
    scan = write_box_room(tmp_path / "room")
    first = prepare_scene(scan, tmp_path / "out", SETTINGS)
    assert prepare_scene(scan, tmp_path / "out", SETTINGS).status == "finished before"
    (scan / "pose/000003.txt").unlink()
    before = PreparedScene(tmp_path / "out/room")
    stamp = before.layer_stamp("geometric")["surface_sha256"]
    write_layer(before.path, "mine", np.array(before.sets()), stamp, "scene", {})
    again = prepare_scene(scan, tmp_path / "out", SETTINGS)
    assert again.info["notes"] == ["layer 'mine' was of the surface before; make it again"]
    assert PreparedScene(tmp_path / "out/room").layers == ["geometric"]
    assert (first.status, again.status) == ("prepared", "prepared")
    assert len(again.info["frames"]) == 3
    assert PreparedScene(tmp_path / "out/room").frame_ids == ["000000", "000001", "000002"]


def remove_images(scan):
    shutil.rmtree(scan / "color")


def spoil_images(scan):
    for file in (scan / "color").iterdir():
        file.write_bytes(file.read_bytes()[:100])


def turn_away(scan):
    """To where no surface is."""
    for file in (scan / "pose").iterdir():
        np.savetxt(file, np.diag([1, 1, 1, 1]) + np.eye(4, k=3) * 1000)


@pytest.mark.parametrize("change", [remove_images, spoil_images, turn_away])
def test_a_scan_that_is_of_no_use_any_more_keeps_what_was_prepared(tmp_path, change):
    scan = write_box_room(tmp_path / "room")
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    folder = tmp_path / "out/room"
    before = contents(folder)
    change(scan)
    with pytest.raises(GeosetError, match=r"What was prepared of it before is kept$"):
        prepare_scene(scan, tmp_path / "out", SETTINGS)
    assert contents(folder) == before


def test_a_disk_that_fills_up_keeps_what_was_prepared(tmp_path, monkeypatch):
    scan = write_box_room(tmp_path / "room")
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    folder = tmp_path / "out/room"
    before = contents(folder)
    (scan / "pose/000003.txt").unlink()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("geoset.prepare.run.write_ply", full)
    text = r"room/surface\.ply: cannot be written \(No space left.* prepared of it before is kept$"
    with pytest.raises(GeosetError, match=text):
        prepare_scene(scan, tmp_path / "out", SETTINGS)
    assert contents(folder) == before


def test_layers_of_labels_go_with_the_scan_that_had_them(tmp_path):
    scan = write_box_room(tmp_path / "room")
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    folder = tmp_path / "out/room"
    scene = PreparedScene(folder)
    stamp, labels = scene.layer_stamp("geometric")["surface_sha256"], np.array(scene.sets())
    write_layer(folder, "seen", labels, stamp, "global", {"images": "semantic"})
    write_layer(folder, "mine", labels, stamp, "scene", {"labels": "sha"})
    (scan / "more.txt").write_text("labels, say")
    notes = prepare_scene(scan, tmp_path / "out", SETTINGS).info["notes"]
    assert notes == ["layer 'seen' was of the labels before; make it again"]
    assert PreparedScene(folder).layers == ["geometric", "mine"]


def test_labels_of_the_mesh_that_are_there_again_need_no_note(tmp_path, monkeypatch):
    scan = write_box_room(tmp_path / "room")
    plain = open_scan(scan)
    given = SurfaceLabels(lambda: np.zeros(len(plain.mesh.vertices), int), "global", "a.ply")
    labelled = replace(plain, surface_labels={"semantic": given})
    monkeypatch.setattr("geoset.prepare.run.open_scan", lambda _: labelled)
    for _ in range(2):
        assert prepare_scene(scan, tmp_path / "out", SETTINGS).info["notes"] == []
        (scan / "more.txt").write_text("labels, say")
    assert PreparedScene(tmp_path / "out/room").layers == ["geometric", "semantic"]


def test_another_scan_of_a_name_whose_scan_is_away(tmp_path):
    scan = write_box_room(tmp_path / "a/room")
    other = write_box_room(tmp_path / "b/room", POSES[:3])
    prepare_scene(scan, tmp_path / "out", SETTINGS)
    scan.parent.rename(tmp_path / "away")
    with pytest.raises(GeosetError, match=r"room, which is not there now, and .* has other files "):
        prepare_scene(other, tmp_path / "out", SETTINGS)
    moved = tmp_path / "away/room"
    assert prepare_scene(moved, tmp_path / "out", SETTINGS).status == "finished before"


def test_never_into_the_scan_itself(tmp_path):
    scan = write_box_room(tmp_path / "room", POSES[:1])
    before = sorted(scan.rglob("*"))
    with pytest.raises(GeosetError, match="lies; choose another OUT"):
        prepare_scene(scan, tmp_path, SETTINGS)
    assert sorted(scan.rglob("*")) == before


def test_a_recording_at_full_rate_is_thinned_by_default(tmp_path, monkeypatch):
    scan = write_box_room(tmp_path / "scan")
    video = replace(open_scan(scan), full_rate=True)
    monkeypatch.setattr("geoset.prepare.run.open_scan", lambda _: video)
    info = prepare_scene(scan, tmp_path / "out", SETTINGS).info
    assert info["scan"]["frame_step"] == 25
    assert len(info["frames"]) == 1


def test_of_a_long_video_only_every_25th_frame_is_read(tmp_path, monkeypatch):
    scan = open_scan(write_box_room(tmp_path / "scan", mesh=None))
    read = {"image": [], "depth": []}

    def reader(kind, number, pixels):
        def reading():
            read[kind].append(number)
            return pixels

        return reading

    pixels = [(frame.image(), frame.depth()) for frame in scan.frames]
    video = replace(scan, full_rate=True, frames=[])
    for number in range(5000):
        image, depth = pixels[number % 4]
        readers = {
            "read_image": reader("image", number, image),
            "read_depth": reader("depth", number, depth),
        }
        video.frames.append(replace(scan.frames[number % 4], name=f"{number}", **readers))
    monkeypatch.setattr("geoset.prepare.run.open_scan", lambda _: video)
    info = prepare_scene(scan.path, tmp_path / "out", replace(SETTINGS, image_size=(32, 43))).info
    assert read["image"] == list(range(0, 5000, 25))
    assert read["depth"] == 2 * read["image"]  # for the surface, and for the frames
    assert len(info["frames"]) == info["surface"]["fused_frames"] == 200
