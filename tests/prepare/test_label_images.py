"""Label images on the surface: in the box room every vertex's wall is known."""

import re
import shutil

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.prepare.label_images import stored_labels, vote_from_images
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.scans.detect import open_scan
from reference.box_room import CAMERA, POSES, first_vertex, see, write_box_room
from scan_folders import write_raster

WALL_OF_VERTEX = np.repeat(np.arange(6), np.diff(first_vertex(np.arange(7))))


def walls(camera=CAMERA):
    """What each pixel of each view sees: walls 1 to 6."""
    return [see(camera, pose).wall + 1 for pose in POSES]


def prepared(folder, size=(96, 128), **labels):
    scan = write_box_room(folder / "room", **labels)
    prepare_scene(scan, folder / "out", PrepareSettings(image_size=size))
    return PreparedScene(folder / "out/room")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    instances = [1000 * wall + 7 for wall in walls()]
    return prepared(tmp_path_factory.mktemp("labels"), labels=walls(), instances=instances)


def seen_vertices(scene):
    seen = np.zeros(len(scene.vertices), dtype=bool)
    for i in range(len(scene)):
        vertex_map = scene.vertex_map(i)
        seen[vertex_map[vertex_map >= 0]] = True
    return seen


def test_vertices_get_the_wall_that_pixels_see(box):
    vote, skipped = vote_from_images(box, "semantic")
    seen = seen_vertices(box)
    np.testing.assert_array_equal(vote.labels, np.where(seen, WALL_OF_VERTEX + 1, -1))
    assert vote.voted == seen.sum() > 1000
    assert (vote.support, vote.tied, skipped) == (1, 0, {})
    vote, _ = vote_from_images(box, "instance")
    np.testing.assert_array_equal(vote.labels[seen], 1000 * (WALL_OF_VERTEX[seen] + 1) + 7)


@pytest.mark.parametrize("label_size", [(96, 128), (144, 192), (72, 96), (97, 128)])
@pytest.mark.parametrize("size", [(96, 96), (64, 128), (50, 66), (100, 120)])
def test_label_images_are_resized_and_cropped_as_colour_images_are(tmp_path, label_size, size):
    """The label of a stored pixel is that of the label pixel which its ray goes through."""
    height, width = label_size
    numbered = np.arange(height * width).reshape(height, width)
    scene = prepared(tmp_path, size, labels=[numbered] * len(POSES))
    frame = open_scan(tmp_path / "room").frames[0]
    pixels, _ = CAMERA.resized(height, width).project(scene.camera(0).rays())
    x, y = pixels.transpose(2, 0, 1)
    inside = np.abs(np.stack([x, y]) % 1 - 0.5).max(axis=0) < 0.499  # not on a border of two
    expected = np.floor(y) * width + np.floor(x)
    found = stored_labels(scene, 0, frame, "semantic")
    assert inside.mean() > 0.9 and found.shape == (scene.camera(0).height, scene.camera(0).width)
    np.testing.assert_array_equal(found[inside], expected[inside])


def test_a_cropped_scene_has_the_same_walls(tmp_path):
    scene = prepared(tmp_path, (96, 96), labels=walls())
    vote, _ = vote_from_images(scene, "semantic")
    expected = np.where(seen_vertices(scene), WALL_OF_VERTEX + 1, -1)
    np.testing.assert_array_equal(vote.labels, expected)


def test_pixels_of_label_0_have_no_vote(tmp_path):
    labels = [np.where(wall == 4, 0, wall) for wall in walls()]
    vote, _ = vote_from_images(prepared(tmp_path, labels=labels), "semantic")
    assert 4 in walls()[0]
    assert set(vote.labels.tolist()) == {-1, *np.unique(walls())} - {4}


@pytest.fixture
def own(box, tmp_path):
    """The room with a scan that a test may damage."""
    scan = shutil.copytree(box.info["scan"]["path"], tmp_path / "scan")
    scene = PreparedScene(box.path)
    scene.info["scan"]["path"] = str(scan)
    return scene, scan


def test_frames_that_cannot_take_part_are_counted(own):
    scene, scan = own
    (scan / "label/000001.png").unlink()
    for folder in ("color", "depth", "pose", "label"):
        next(scan.glob(f"{folder}/000002.*")).unlink()
    _, skipped = vote_from_images(scene, "semantic")
    assert skipped == {"no label image": 1, "frame is no longer in the scan": 1}


def test_an_unreadable_label_image_costs_its_vote_alone(own):
    scene, scan = own
    path = scan / "label/000001.png"
    path.write_bytes(path.read_bytes()[:40])
    majority, skipped = vote_from_images(scene, "semantic")
    assert skipped == {"unreadable label image": 1}
    assert (majority.labels >= 0).any()


def test_a_scan_without_label_images(own):
    scene, scan = own
    shutil.rmtree(scan / "label")
    expected = (
        f"{scan}: no semantic label image for any frame of {scene.path} (4 x no label image); "
        "available: instance. Labels of vertices are taken too: --labels FOLDER"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        vote_from_images(scene, "semantic")


def test_a_scan_that_has_gone(own):
    scene, scan = own
    shutil.rmtree(scan)
    expected = r"read from the scan it was prepared from, which cannot be opened .*Put the scan"
    with pytest.raises(GeosetError, match=expected):
        vote_from_images(scene, "semantic")


def test_a_label_image_of_another_aspect(own):
    scene, scan = own
    write_raster(scan / "label/000003.png", np.ones((96, 96), np.uint16))
    expected = (
        "000003: the semantic label image is 96x96, the colour image 128x96; expected one aspect"
    )
    with pytest.raises(GeosetError, match=re.escape(expected)):
        vote_from_images(scene, "semantic")


def test_a_scan_with_another_camera(own):
    scene, scan = own
    K = np.loadtxt(scan / "intrinsics.txt")
    np.savetxt(scan / "intrinsics.txt", K * [[1.1, 1, 1], [1, 1, 1], [1, 1, 1]])
    expected = f"{scene.path}: frame 000000 has another camera in {scan} than when it was prepared"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        vote_from_images(scene, "semantic")
