import json
import re

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from reference.ply import POINTS, face_element, make_ply, vertex_element
from scan_formats.replica import write_replica

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
DEPTHS = RNG.uniform(0.5, 9.9, (3, 30, 40))
POSES = [np.eye(4) + 0.1 * k * np.eye(4, k=3) for k in range(3)]


@pytest.fixture
def folder(tmp_path):
    return write_replica(tmp_path / "room0", IMAGES, DEPTHS, POSES, K)


def names(scan):
    return [frame.name for frame in scan.frames]


def test_depth(folder):
    scan = open_scan(folder)
    assert names(scan) == ["frame000000", "frame000001", "frame000002"]
    np.testing.assert_allclose(scan.frames[1].depth(), DEPTHS[1], atol=0.51 / 6553.5)


def test_scale_and_camera_are_those_of_the_file(tmp_path):
    folder = write_replica(tmp_path / "room0", IMAGES, DEPTHS, POSES, K, scale=5000)
    np.testing.assert_allclose(open_scan(folder).frames[1].depth(), DEPTHS[1], atol=0.51 / 5000)
    (tmp_path / "cam_params.json").rename(folder / "cam_params.json")
    frame = open_scan(folder).frames[1]
    np.testing.assert_allclose(frame.depth(), DEPTHS[1], atol=0.51 / 5000)
    assert frame.camera.K.tolist() == [[50, 0, 20], [0, 52, 15], [0, 0, 1]]


def test_published_camera_without_a_file(tmp_path):
    images, depths = np.zeros((1, 680, 1200, 3), np.uint8), np.full((1, 680, 1200), 9.0)
    (frame,) = open_scan(write_replica(tmp_path / "a", images, depths, POSES[:1])).frames
    assert frame.camera.K.tolist() == [[600, 0, 600], [0, 600, 340], [0, 0, 1]]
    assert frame.depth()[0, 0] == np.float32(np.round(9 * 6553.5)) / np.float32(6553.5)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"camera": {"w": 40}},
        {"camera": dict.fromkeys(("w", "h", "fx", "fy", "cx", "cy", "scale"), "many")},
        {"camera": dict.fromkeys(("w", "h", "fx", "fy", "cx", "cy", "scale"), 0)},
        {"camera": dict.fromkeys(("w", "h", "fx", "fy", "cx", "cy", "scale"), float("nan"))},
    ],
)
def test_no_camera_in_it(folder, content):
    file = folder.parent / "cam_params.json"
    file.write_text(json.dumps(content))
    text = f"{file}: expected camera: {{w, h, fx, fy, cx, cy, scale}}, all of them positive; remove"
    with pytest.raises(GeosetError, match=re.escape(text)):
        open_scan(folder)


def test_mesh_of_quads_beside_the_folder(folder):
    faces = face_element((0, 1, 2, 3), (1, 2, 3, 4))
    make_ply(folder.parent / "room0_mesh.ply", "binary_little_endian", vertex_element(), faces)
    mesh = open_scan(folder).mesh
    np.testing.assert_array_equal(mesh.vertices, np.float32(POINTS))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3], [1, 3, 4]]


def test_a_frame_goes_with_the_line_of_its_number(folder):
    (folder / "results/frame000001.jpg").unlink()
    scan = open_scan(folder)
    assert names(scan) == ["frame000000", "frame000002"]
    np.testing.assert_array_equal(scan.frames[1].world_from_camera, POSES[2])


def test_bad_parts_cost_their_frame(folder):
    lines = (folder / "traj.txt").read_text().splitlines()
    (folder / "traj.txt").write_text("\n".join(["1 0 lost", lines[1]]))
    (folder / "results/depth000001.png").unlink()
    with pytest.raises(GeosetError, match="no usable frame") as error:
        open_scan(folder)
    for reason in ("pose has non-finite entries", "no depth file", "no pose in traj.txt"):
        assert f"1 x {reason}" in str(error.value)


def test_a_whole_render_is_at_full_rate(tmp_path):
    count, K = 250, np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
    images, depths = np.zeros((count, 3, 4, 3), np.uint8), np.ones((count, 3, 4))
    folder = write_replica(tmp_path / "a", images, depths, [np.eye(4)] * count, K)
    assert open_scan(folder).full_rate
    rows = (folder / "traj.txt").read_text().splitlines(keepends=True)
    (folder / "traj.txt").write_text("".join(rows[:-1]))
    assert not open_scan(folder).full_rate
