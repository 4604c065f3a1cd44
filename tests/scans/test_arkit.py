import numpy as np
import pytest

from geoset import open_scan
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from scan_formats.arkit import RATE, START, write_arkit

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
DEPTHS = RNG.integers(1, 6000, (4, 30, 40), dtype=np.uint16)
K = np.array([[[50.0 + k, 0, 20], [0, 52, 15], [0, 0, 1]] for k in range(4)])
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
NAMES = [f"40753679_{START + k * RATE:.3f}" for k in range(4)]


def turned(k):
    """A quarter turn about z, k tenths of a metre along x."""
    return np.array([[0, -1, 0, 0.1 * k], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


POSES = [turned(k) for k in range(4)]


@pytest.fixture
def folder(tmp_path):
    return write_arkit(tmp_path / "40753679", IMAGES, DEPTHS, POSES, K)


def names(scan):
    return [frame.name for frame in scan.frames]


@pytest.mark.parametrize("frames", ["", "40753679_frames"])
def test_each_frame_has_its_camera(tmp_path, frames):
    folder = write_arkit(tmp_path / "a", IMAGES, DEPTHS, POSES, K, frames=frames, mesh=TRIANGLE)
    scan = open_scan(folder)
    assert scan.layout == "ARKitScenes"
    assert names(scan) == NAMES
    for frame, expected, pose in zip(scan.frames, K, POSES, strict=True):
        np.testing.assert_array_equal(frame.camera.K, expected)
        np.testing.assert_array_equal(frame.depth_camera.K, expected)
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-9)
    np.testing.assert_array_equal(scan.mesh.vertices, np.eye(3))
    assert not scan.full_rate


def test_the_trajectory_holds_camera_from_world(folder):
    """By hand: x_camera = R x_world + t, a quarter turn back about z, and 1 m along x."""
    quarter = np.pi / 2
    lines = [f"{START + k * RATE} 0 0 {-quarter} 1 0 0\n" for k in range(4)]
    (folder / "40753679_frames/lowres_wide.traj").write_text("".join(lines))
    pose = open_scan(folder).frames[0].world_from_camera
    # The camera is where R x + (1, 0, 0) = 0: at -R^T (1, 0, 0) = -(0, 1, 0).
    np.testing.assert_allclose(pose[:3, 3], [0, -1, 0], atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-9)


def test_names_off_by_a_millisecond(folder):
    for file in folder.glob("*_frames/lowres_wide_intrinsics/*"):
        video, time = file.stem.split("_")
        file.rename(file.with_name(f"{video}_{float(time) + 0.001:.3f}.pincam"))
    assert names(open_scan(folder)) == NAMES


def test_what_is_missing(folder):
    frames = folder / "40753679_frames"
    (frames / f"lowres_depth/{NAMES[0]}.png").unlink()
    (frames / f"lowres_wide_intrinsics/{NAMES[1]}.pincam").unlink()
    lines = (frames / "lowres_wide.traj").read_text().splitlines()
    (frames / "lowres_wide.traj").write_text("\n".join([*lines[:2], "lost", lines[3]]))
    scan = open_scan(folder)
    assert names(scan) == NAMES[3:]
    assert scan.rejected == [
        (NAMES[0], "no depth within 0.005 s"),
        (NAMES[1], "no camera within 0.005 s"),
        (NAMES[2], "no pose within 0.005 s"),
    ]


@pytest.mark.parametrize(
    "content",
    ["", "\n", "40 30 50 52 20", "40 30 0 52 20 15", "40 30 50 52 x 15", "0 0 50 52 20 15",
     "nan 30 50 52 20 15", "40 30 50 52 200 15", "inf inf 50 52 20 15"],
)  # fmt: skip
def test_a_bad_camera_costs_its_frame(folder, content):
    (folder / f"40753679_frames/lowres_wide_intrinsics/{NAMES[1]}.pincam").write_text(content)
    scan = open_scan(folder)
    assert names(scan) == [NAMES[0], *NAMES[2:]]
    assert scan.rejected == [(NAMES[1], "unreadable camera file")]


def test_depth_of_another_size(tmp_path):
    small = RNG.integers(1, 6000, (4, 15, 20), dtype=np.uint16)
    frame = open_scan(write_arkit(tmp_path / "a", IMAGES, small, POSES, K)).frames[2]
    np.testing.assert_allclose(frame.depth_camera.K, np.diag([0.5, 0.5, 1]) @ K[2])


def test_without_depth(folder):
    for file in (folder / "40753679_frames/lowres_depth").iterdir():
        file.unlink()
    (folder / "40753679_frames/lowres_depth").rmdir()
    scan = open_scan(folder)
    assert names(scan) == NAMES
    assert scan.frames[0].read_depth is None


@pytest.mark.parametrize(("posed", "expected"), [(1, True), (6, False)])
def test_of_raw_videos_few_frames_have_poses(tmp_path, posed, expected):
    """60 images and 10 poses a second are 10 frames a second, no video at full rate."""
    count, small = 252, np.array([[5.0, 0, 2], [0, 5, 1.5], [0, 0, 1]])
    images, depths = np.zeros((count, 3, 4, 3), np.uint8), np.ones((count, 3, 4))
    scan = open_scan(
        write_arkit(
            *(tmp_path / "a", images, depths, [np.eye(4)] * count, small),
            **{"frames": "", "rate": 1 / 60, "posed": posed},
        )
    )
    assert len(scan.frames) == count / posed
    assert scan.full_rate is expected


def test_a_mesh_of_ones_own(folder):
    write_ply(folder / "mesh.ply", TRIANGLE)
    np.testing.assert_array_equal(open_scan(folder).mesh.vertices, np.eye(3))
    moved = TriangleMesh(TRIANGLE.vertices + 1, TRIANGLE.faces)
    write_ply(folder / "40753679_3dod_mesh.ply", moved)
    np.testing.assert_array_equal(open_scan(folder).mesh.vertices, np.eye(3) + 1)
