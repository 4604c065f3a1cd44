import json
import re

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from scan_folders import write_image, write_matrix
from scan_formats.redwood import write_redwood

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
DEPTHS = RNG.integers(1, 6000, (4, 30, 40), dtype=np.uint16)
POSES = [np.eye(4) + 0.1 * k * np.eye(4, k=3) for k in range(4)]
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))


@pytest.fixture
def folder(tmp_path):
    return write_redwood(tmp_path / "lounge", IMAGES, DEPTHS, POSES, K)


def by_place(scan):
    """How many tenths of a metre along x each frame is, as POSES have it."""
    return {frame.name: round(10 * frame.world_from_camera[0, 3]) for frame in scan.frames}


IN_ORDER = {"00000": 0, "00001": 1, "00002": 2, "00003": 3}


@pytest.mark.parametrize("color", ["color", "image", "rgb"])
@pytest.mark.parametrize("log", ["trajectory.log", "scene/trajectory.log", "lounge.log"])
def test_places_of_its_parts(tmp_path, color, log):
    folder = write_redwood(tmp_path / "a", IMAGES, DEPTHS, POSES, K, color=color, log=log)
    (folder / "install.log").write_text("started\n")
    scan = open_scan(folder)
    assert scan.layout == "Redwood / Open3D"
    assert by_place(scan) == IN_ORDER
    assert scan.mesh is None
    assert not scan.full_rate


def test_mesh_of_the_reconstruction(tmp_path):
    scan = open_scan(write_redwood(tmp_path / "a", IMAGES, DEPTHS, POSES, K, mesh=TRIANGLE))
    np.testing.assert_array_equal(scan.mesh.vertices, np.eye(3))


class TestTrajectory:
    def test_blocks_are_of_the_frames_they_number(self, folder):
        lines = (folder / "trajectory.log").read_text().splitlines(keepends=True)
        blocks = [lines[k : k + 5] for k in range(0, 20, 5)]
        (folder / "trajectory.log").write_text("".join(blocks[3] + blocks[1] + blocks[0]))
        scan = open_scan(folder)
        assert by_place(scan) == {"00000": 0, "00001": 1, "00003": 3}
        assert scan.rejected == [("00002", "no pose in trajectory.log")]

    @pytest.mark.parametrize("first", [2, 7])
    def test_numbers_of_something_else_leave_the_order(self, tmp_path, first):
        folder = write_redwood(tmp_path / "a", IMAGES, DEPTHS, POSES, K, first=first)
        assert by_place(open_scan(folder)) == IN_ORDER

    def test_a_bad_block_costs_its_frame(self, folder):
        lines = (folder / "trajectory.log").read_text().splitlines(keepends=True)
        lines[6] = "1 0 0 lost\n"  # of frame 1
        (folder / "trajectory.log").write_text("".join(lines[:-1]))  # and 3 is cut
        scan = open_scan(folder)
        assert by_place(scan) == {"00000": 0, "00002": 2}
        assert scan.rejected == [
            ("00001", "pose has non-finite entries"),
            ("00003", "pose is 3x4, expected 4x4"),
        ]

    def test_no_image_is_left(self, folder):
        for kind in ("color", "depth"):
            for file in (folder / kind).iterdir():
                file.unlink()
        with pytest.raises(GeosetError, match="4 poses for 0 colour images"):
            open_scan(folder)

    def test_a_log_of_something_else_is_no_trajectory(self, folder):
        (folder / "trajectory.log").write_text("12:30 started up\n")
        with pytest.raises(GeosetError, match="unknown layout"):
            open_scan(folder)

    def test_poses_in_files_of_their_own_come_first(self, folder):
        for name in IN_ORDER:
            write_matrix(folder / f"pose/{name}.txt", np.eye(4))
        write_matrix(folder / "intrinsics.txt", K)
        assert open_scan(folder).layout == "one folder a kind"


class TestMorePosesThanImages:
    """Images were thinned or cut, and the trajectory was left as it was."""

    def keep(self, folder, renamed, trajectory):
        """Keep the images in `renamed`, so called; pose k, of this number, is k/10 m along x."""
        for old in reversed(IN_ORDER):
            for file in (folder / f"color/{old}.jpg", folder / f"depth/{old}.png"):
                if old in renamed:
                    file.rename(file.with_stem(renamed[old]))
                else:
                    file.unlink()
        poses = [np.eye(4) + 0.1 * k * np.eye(4, k=3) for k in range(len(trajectory))]
        write_redwood(folder.parent / "log", (), (), poses)
        blocks = (folder.parent / "log/trajectory.log").read_text().splitlines()
        for k, number in enumerate(trajectory):
            blocks[5 * k] = f"{number - 1} {number - 1} {number}"
        (folder / "trajectory.log").write_text("\n".join([*blocks, ""]))
        return open_scan(folder)

    def test_every_tenth(self, folder):
        names = ["00000", "00010", "00020", "00030"]
        scan = self.keep(folder, dict(zip(IN_ORDER, names, strict=True)), range(1, 41))
        assert by_place(scan) == {"00000": 0, "00010": 10, "00020": 20, "00030": 30}
        assert scan.notes == [
            "trajectory.log holds 40 poses for 4 colour images: they go by number, 00000 with "
            "pose 1"
        ]

    @pytest.mark.parametrize("names", [("1", "11", "21", "31"), ("10", "20", "30", "40")])
    def test_names_from_1(self, folder, names):
        """Redwood's own begin with 1 and end with the number of the last pose."""
        scan = self.keep(folder, dict(zip(IN_ORDER, names, strict=True)), range(1, 41))
        assert by_place(scan) == {name: int(name) - 1 for name in names}

    def test_a_part(self, folder):
        scan = self.keep(folder, {"00000": "000005", "00001": "000006"}, range(1, 41))
        assert by_place(scan) == {"000005": 5, "000006": 6}

    def test_some_of_the_poses_are_lost(self, folder):
        names = ["00000", "00002", "00003", "00005"]
        scan = self.keep(folder, dict(zip(IN_ORDER, names, strict=True)), [1, 3, 5, 6])
        assert by_place(scan) == {"00000": 0, "00002": 1, "00005": 3}
        assert scan.rejected == [("00003", "no pose in trajectory.log")]

    def test_images_numbered_anew_as_many_as_poses(self, folder):
        scan = self.keep(folder, dict(zip(IN_ORDER, IN_ORDER, strict=True)), [1, 3, 5, 7])
        assert by_place(scan) == IN_ORDER

    @pytest.mark.parametrize(
        ("names", "trajectory"),
        [
            (("a", "b", "c", "d"), range(1, 41)),
            (("0", "100", "200", "300"), range(1, 41)),
            (("0", "1", "2", "3"), [1] * 40),
        ],
    )
    def test_names_that_do_not_say_which(self, folder, names, trajectory):
        text = "trajectory.log: 40 poses for 4 colour images, whose names do not say which are"
        with pytest.raises(GeosetError, match=text):
            self.keep(folder, dict(zip(IN_ORDER, names, strict=True)), trajectory)

    def test_the_rate_is_that_of_frames_with_poses(self, tmp_path):
        folder = write_video(tmp_path / "a", [f"{k:05d}" for k in range(250)])
        lines = (folder / "trajectory.log").read_text().splitlines(keepends=True)
        (folder / "trajectory.log").write_text("".join(lines[:-5]))
        assert not open_scan(folder).full_rate


class TestIntrinsics:
    def test_columns_come_one_after_the_other(self, folder):
        assert open_scan(folder).frames[0].camera.K.tolist() == [
            [50, 0, 20],
            [0, 52, 15],
            [0, 0, 1],
        ]

    def test_those_of_another_size_are_scaled(self, folder):
        camera = json.loads((folder / "camera_intrinsic.json").read_text())
        camera |= {"width": 80, "height": 60, "intrinsic_matrix": [100, 0, 0, 0, 104, 0, 39, 29, 1]}
        (folder / "camera_intrinsic.json").write_text(json.dumps(camera))
        expected = [[50, 0, 19.75], [0, 52, 14.75], [0, 0, 1]]
        np.testing.assert_allclose(open_scan(folder).frames[0].camera.K, expected)

    def test_none_means_a_primesense(self, tmp_path):
        scan = open_scan(write_redwood(tmp_path / "a", IMAGES, DEPTHS, POSES))
        expected = [[525 / 16, 0, 20], [0, 525 / 16, 15], [0, 0, 1]]
        np.testing.assert_allclose(scan.frames[0].camera.K, expected)
        assert scan.notes == [
            "no camera_intrinsic.json: PrimeSense's f 525, centre 319.5 239.5 are taken"
        ]

    @pytest.mark.parametrize(
        "content",
        [
            [],
            {"width": 40, "height": 30},
            {"width": 40, "height": 30, "intrinsic_matrix": [50, 52, 19, 14]},
            {"width": "wide", "height": 30, "intrinsic_matrix": [1] * 9},
            {"width": 10**400, "height": 30, "intrinsic_matrix": [1] * 9},
        ],
    )
    def test_no_intrinsics_in_it(self, folder, content):
        (folder / "camera_intrinsic.json").write_text(json.dumps(content))
        text = "camera_intrinsic.json: expected width, height and intrinsic_matrix, nine numbers"
        with pytest.raises(GeosetError, match=text):
            open_scan(folder)

    @pytest.mark.parametrize("width", [0, -40, 400])
    def test_centre_outside(self, folder, width):
        content = {"width": width, "height": 30, "intrinsic_matrix": K.T.ravel().tolist()}
        (folder / "camera_intrinsic.json").write_text(json.dumps(content))
        with pytest.raises(GeosetError, match=r"19.5, 14.5 is not near the middle of images of"):
            open_scan(folder)


class TestNames:
    def rename(self, folder):
        """Name depth images by their times, as Redwood's object scans do."""
        for k, file in enumerate(sorted((folder / "depth").iterdir())):
            file.rename(file.with_name(f"{k + 1:07d}-{33333 * k:012d}.png"))

    def test_other_names_go_in_order(self, folder):
        self.rename(folder)
        scan = open_scan(folder)
        assert by_place(scan) == IN_ORDER
        np.testing.assert_array_equal(
            scan.frames[2].depth(), np.float32(DEPTHS[2]) / np.float32(1000)
        )

    def test_other_names_and_numbers(self, folder):
        self.rename(folder)
        next((folder / "depth").iterdir()).unlink()
        text = f"{folder}: 4 colour and 3 depth images of other names, expected the same names, or"
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(folder)

    @pytest.fixture
    def timed(self, folder):
        """Redwood's own names: number and time, the first pair alone with the same time."""
        for kind, microseconds, suffix in (("color", 33369, "jpg"), ("depth", 33356, "png")):
            for k in range(4):
                new = f"{kind}/{k + 1:07d}-{microseconds * k:012d}.{suffix}"
                (folder / f"{kind}/{k:05d}.{suffix}").rename(folder / new)
        return folder

    def test_times_are_left_aside(self, timed):
        scan = open_scan(timed)
        assert by_place(scan) == {f"000000{k + 1}": k for k in range(4)}
        assert scan.rejected == []
        for frame, depth in zip(scan.frames, DEPTHS, strict=True):
            np.testing.assert_array_equal(frame.depth(), np.float32(depth) / np.float32(1000))

    def test_missing_images_of_timed_names(self, timed):
        next((timed / "depth").glob("0000002-*")).unlink()
        next((timed / "color").glob("0000003-*")).unlink()
        scan = open_scan(timed)
        assert by_place(scan) == {"0000001": 0, "0000004": 3}
        assert scan.rejected == [("0000003", "no colour file"), ("0000002", "no depth file")]

    def test_one_name_alike_is_chance(self, folder):
        for k, file in enumerate(sorted((folder / "depth").iterdir())):
            file.rename(file.with_name(f"at-{k}.png"))
        (folder / "depth/at-0.png").rename(folder / "depth/00000.png")
        assert by_place(open_scan(folder)) == IN_ORDER

    def test_depth_alone_moves_no_pose(self, folder):
        (folder / "depth/00000.png").rename(folder / "depth/00000a.png")
        scan = open_scan(folder)
        assert by_place(scan) == {"00001": 1, "00002": 2, "00003": 3}
        assert scan.rejected == [("00000a", "no colour file"), ("00000", "no depth file")]

    def test_a_missing_image_moves_no_pose(self, folder):
        (folder / "color/00001.jpg").unlink()
        (folder / "depth/00002.png").unlink()
        scan = open_scan(folder)
        assert by_place(scan) == {"00000": 0, "00003": 3}
        assert scan.rejected == [("00001", "no colour file"), ("00002", "no depth file")]


@pytest.mark.parametrize("timed", [False, True])
def test_a_video_without_gaps_is_at_full_rate(tmp_path, timed):
    names = [f"{k + 1:07d}-{33369 * k:012d}" if timed else f"{k:05d}" for k in range(250)]
    assert open_scan(write_video(tmp_path / "a", names)).full_rate


def write_video(path, names):
    """Write a scan of tiny images of these names, all from one place."""
    count, K = len(names), np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
    images, depths = np.zeros((count, 3, 4, 3), np.uint8), np.ones((count, 3, 4), np.uint16)
    write_redwood(path, images, depths, [np.eye(4)] * count, K)
    for kind, suffix in (("color", "jpg"), ("depth", "png")):
        for k, name in enumerate(names):
            (path / f"{kind}/{k:05d}.{suffix}").rename(path / f"{kind}/{name}.{suffix}")
    return path


def test_a_first_frame_of_another_shape_is_alone_rejected(folder):
    write_image(folder / "color/00000.jpg", np.zeros((40, 40, 3), np.uint8))
    scan = open_scan(folder)
    assert by_place(scan) == {"00001": 1, "00002": 2, "00003": 3}
    assert scan.rejected == [("00000", "image size differs from most frames'")]
