import re

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from scan_folders import write_matrix
from scan_formats.tum import RATE, START, write_tum

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
DEPTHS = RNG.uniform(0.5, 6, (4, 30, 40))
POSES = [np.eye(4) + 0.1 * k * np.eye(4, k=3) for k in range(4)]
NAMES = [f"{START + k * RATE:.6f}" for k in range(4)]


@pytest.fixture
def sequence(tmp_path):
    return write_tum(tmp_path / "office", IMAGES, DEPTHS, POSES, K)


def names(scan):
    return [frame.name for frame in scan.frames]


def edit(path, change):
    """Replace the lines of a list that are no comments by what `change` makes of them."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    path.write_text("\n".join([*comments, *change(lines[len(comments) :])]))


def test_depth_in_fifths_of_a_millimetre(sequence):
    scan = open_scan(sequence)
    assert names(scan) == NAMES
    np.testing.assert_allclose(scan.frames[1].depth(), DEPTHS[1], atol=1.01e-4)
    np.testing.assert_array_equal(scan.frames[1].image(), IMAGES[1])


@pytest.mark.parametrize(
    ("folder", "fx", "fy", "cx", "cy"),
    [
        ("rgbd_dataset_freiburg1_xyz", 517.3, 516.5, 319.1, 255.8),
        ("fr2_desk", 520.9, 521.0, 325.6, 250.2),
        ("my-fr3", 535.4, 539.2, 320.6, 248.1),
    ],
)
def test_published_intrinsics_by_the_folders_name(tmp_path, folder, fx, fy, cx, cy):
    images = np.zeros((1, 240, 320, 3), np.uint8)  # half the published size
    scan = open_scan(write_tum(tmp_path / folder, images, np.ones((1, 240, 320)), POSES[:1]))
    expected = [[fx / 2, 0, cx / 2], [0, fy / 2, cy / 2], [0, 0, 1]]
    np.testing.assert_allclose(scan.frames[0].camera.K, expected)
    distorted = [
        number for number in "12" if f"freiburg{number}" in folder or f"fr{number}" in folder
    ]
    assert scan.notes == [
        f"the lens distortion of freiburg{number} is not undone, as its authors advise"
        for number in distorted
    ]
    write_matrix(tmp_path / folder / "intrinsics.txt", K * 4)
    assert open_scan(tmp_path / folder).frames[0].camera.K[0, 0] == 200


def test_no_intrinsics(tmp_path):
    folder = write_tum(tmp_path / "fr12_office", IMAGES, DEPTHS, POSES)
    text = f"{folder}: which Kinect took it is not in the folder's name (freiburg1, fr2, ...), and"
    with pytest.raises(GeosetError, match=re.escape(text)):
        open_scan(folder)


def test_what_is_too_far_in_time_is_missing(sequence):
    edit(sequence / "depth.txt", lambda lines: lines[1:])  # the next is 0.037 s away
    edit(sequence / "groundtruth.txt", lambda lines: lines[:-3])
    scan = open_scan(sequence)
    assert names(scan) == NAMES[1:3]
    assert scan.rejected == [
        (NAMES[0], "no depth within 0.02 s"),
        (NAMES[3], "no pose within 0.02 s"),
    ]


def test_lists_in_any_order_with_repetitions(sequence):
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        edit(sequence / name, lambda lines: [*lines[::-1], *lines])
    scan = open_scan(sequence)
    assert names(scan) == NAMES
    np.testing.assert_allclose(scan.frames[2].world_from_camera, POSES[2], atol=1e-6)


def test_lines_that_say_nothing_cost_no_more_than_their_frame(sequence):
    edit(sequence / "rgb.txt", lambda lines: ["yesterday rgb/a.png", "1", *lines])
    bad = ["1e400 0 0 0 0 0 0 1", f"{NAMES[3]} 0 0 0 0 0 0 0"]
    edit(
        sequence / "groundtruth.txt",
        lambda lines: ["", *lines[:3], *(["lost"] * 3), *lines[6:9], *bad],
    )
    scan = open_scan(sequence)
    assert names(scan) == [NAMES[0], NAMES[2]]
    assert scan.rejected == [
        (NAMES[1], "no pose within 0.02 s"),
        (NAMES[3], "pose is not rigid (its axes are not orthonormal)"),
    ]


def test_missing_files(sequence):
    (sequence / f"rgb/{NAMES[0]}.png").unlink()
    next(sequence.glob(f"depth/{NAMES[1][:13]}*.png")).write_bytes(b"")
    assert open_scan(sequence).rejected == [
        (NAMES[0], "no colour file"),
        (NAMES[1], "unreadable depth file"),
    ]


def test_without_depth_but_with_a_mesh(sequence):
    (sequence / "depth.txt").unlink()
    mesh = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    write_ply(sequence / "mesh.ply", mesh)
    scan = open_scan(sequence)
    assert names(scan) == NAMES
    assert scan.frames[0].read_depth is None
    np.testing.assert_array_equal(scan.mesh.faces, [[0, 1, 2]])


def test_a_long_video_is_at_full_rate(tmp_path):
    count = 250
    images, depths = np.zeros((count, 3, 4, 3), np.uint8), np.ones((count, 3, 4))
    small = np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
    folder = write_tum(tmp_path / "long", images, depths, [np.eye(4)] * count, small)
    assert open_scan(folder).full_rate
    edit(folder / "groundtruth.txt", lambda lines: lines[:-3])  # three a frame
    assert not open_scan(folder).full_rate
