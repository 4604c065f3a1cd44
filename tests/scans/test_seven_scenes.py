import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from scan_folders import write_matrix, write_seven_scenes

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
DEPTHS = RNG.integers(1, 65535, (3, 30, 40), dtype=np.uint16)
POSES = [np.eye(4)] * 3
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))


def names(scan):
    return [frame.name for frame in scan.frames]


def test_several_sequences_in_natural_order(tmp_path):
    for sequence in ("seq-10", "seq-2", "seq-01"):
        write_seven_scenes(tmp_path, IMAGES[:2], DEPTHS[:2], POSES[:2], K, sequence=sequence)
    scan = open_scan(tmp_path)
    assert names(scan) == [
        f"{sequence}/frame-00000{k}" for sequence in ("seq-01", "seq-2", "seq-10") for k in (0, 1)
    ]
    assert scan.layout == "7-Scenes"


def test_one_sequence_by_itself(tmp_path):
    write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K, sequence="seq-03")
    assert names(open_scan(tmp_path / "seq-03")) == [f"frame-00000{k}" for k in range(3)]


def test_depth_and_exact_colour(tmp_path):
    depths = DEPTHS.copy()
    depths[1, :3] = [[0], [65535], [1234]]
    frame = open_scan(write_seven_scenes(tmp_path, IMAGES, depths, POSES, K)).frames[1]
    np.testing.assert_array_equal(frame.image(), IMAGES[1])
    np.testing.assert_array_equal(frame.depth()[:2], 0)
    np.testing.assert_array_equal(frame.depth()[2], np.float32(1.234))
    np.testing.assert_array_equal(frame.depth()[3:], np.float32(depths[1, 3:]) / np.float32(1000))


def test_jpeg_colour(tmp_path):
    smooth = np.full((3, 30, 40, 3), (200, 90, 30), np.uint8)
    scan = open_scan(write_seven_scenes(tmp_path, smooth, DEPTHS, POSES, K, suffix=".jpg"))
    assert np.abs(scan.frames[2].image().astype(int) - smooth[2]).max() <= 3


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (640, 480, [[585, 0, 320.5], [0, 585, 240.5], [0, 0, 1]]),
        (160, 120, [[146.25, 0, 80.125], [0, 146.25, 60.125], [0, 0, 1]]),
    ],
)
def test_published_intrinsics_without_a_file(tmp_path, width, height, expected):
    images, depths = np.zeros((1, height, width, 3), np.uint8), np.ones((1, height, width))
    frame = open_scan(write_seven_scenes(tmp_path, images, depths, POSES[:1])).frames[0]
    for camera in (frame.camera, frame.depth_camera):
        assert (camera.width, camera.height) == (width, height)
        np.testing.assert_allclose(camera.K, expected)


def test_file_of_intrinsics_comes_first(tmp_path):
    frame = open_scan(write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K)).frames[0]
    assert frame.camera.K.tolist() == [[50, 0, 20], [0, 52, 15], [0, 0, 1]]
    write_matrix(tmp_path / "camera-intrinsics.txt", K[:2])
    with pytest.raises(GeosetError, match=r"camera-intrinsics.txt: expected a 3x3 \(or 4x4\)"):
        open_scan(tmp_path)


def test_one_sequence_takes_the_intrinsics_of_its_scene(tmp_path):
    write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K)
    frame = open_scan(tmp_path / "seq-01").frames[0]
    assert frame.camera.K.tolist() == [[50, 0, 20], [0, 52, 15], [0, 0, 1]]


def test_rejected_frames_are_named_with_their_sequence(tmp_path):
    write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K, sequence="seq-01")
    write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K, sequence="seq-02")
    (tmp_path / "seq-01/frame-000000.color.png").unlink()
    (tmp_path / "seq-01/frame-000002.depth.png").unlink()
    (tmp_path / "seq-02/frame-000001.pose.txt").unlink()
    write_matrix(tmp_path / "seq-02/frame-000002.pose.txt", np.full((4, 4), -np.inf))
    scan = open_scan(tmp_path)
    assert names(scan) == ["seq-01/frame-000001", "seq-02/frame-000000"]
    assert scan.rejected == [
        ("seq-01/frame-000000", "no colour file"),
        ("seq-01/frame-000002", "no depth file"),
        ("seq-02/frame-000001", "no pose file"),
        ("seq-02/frame-000002", "pose has non-finite entries"),
    ]


def test_a_video_without_gaps_is_noticed(tmp_path):
    images, depths = np.zeros((250, 3, 4, 3), np.uint8), np.ones((250, 3, 4))
    small = np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
    folder = write_seven_scenes(tmp_path, images, depths, [np.eye(4)] * 250, small)
    assert open_scan(folder).full_rate
    (folder / "seq-01/frame-000249.pose.txt").unlink()
    assert not open_scan(folder).full_rate


def test_a_mesh_of_ones_own(tmp_path):
    folder = write_seven_scenes(tmp_path, IMAGES, DEPTHS, POSES, K)
    assert open_scan(folder).mesh is None
    write_ply(folder / "mesh.ply", TRIANGLE)
    np.testing.assert_array_equal(open_scan(folder).mesh.vertices, np.eye(3))
