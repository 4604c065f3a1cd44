"""The .sens file itself: codecs, index, cuts."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.scans.scan import FrameError
from geoset.scans.sens import CUT_OFF, read_sens
from scan_formats.sens import sens_frame, write_sens
from scan_formats.tiny_sens import DEPTH_K, K, payloads, pictures, write_frames

HEADER_SIZE = 4 + 8 + 15 + 4 * 64 + 2 * 4 + 4 * 4 + 4 + 8


@pytest.fixture
def path(tmp_path):
    return tmp_path / "room.sens"


def names(frames):
    return [frame.name for frame in frames]


class TestCodecs:
    @pytest.mark.parametrize("color", ["raw", "png", "jpeg"])
    @pytest.mark.parametrize("depth", ["raw", "zlib"])
    def test_round_trip(self, path, color, depth):
        images, depths, poses = pictures()
        write_sens(path, images, depths, poses, K, depth_K=DEPTH_K, color=color, depth=depth)
        frames, rejected = read_sens(path)
        assert rejected == []
        assert names(frames) == ["000000", "000001", "000002", "000003"]
        tolerance = 12 if color == "jpeg" else 0
        for k, frame in enumerate(frames):
            error = np.abs(frame.image().astype(int) - images[k])
            assert error.max() <= tolerance
            np.testing.assert_array_equal(frame.depth(), np.float32(depths[k]) / np.float32(1000))
            np.testing.assert_array_equal(frame.world_from_camera, poses[k])
            assert frame.depth_camera_from_camera.tolist() == np.eye(4).tolist()

    def test_each_size_has_its_own_intrinsics(self, path):
        (frame, *_), _ = read_sens(write_sens(path, *pictures(), K, depth_K=DEPTH_K))
        assert frame.camera.K.tolist() == [[50, 0, 20], [0, 52, 15], [0, 0, 1]]
        assert (frame.camera.width, frame.camera.height) == (40, 30)
        assert frame.depth_camera.K.tolist() == [[30, 0, 9.5], [0, 31, 8.5], [0, 0, 1]]
        assert (frame.depth_camera.width, frame.depth_camera.height) == (20, 15)

    def test_depth_in_other_units_and_the_two_values_that_mean_none(self, path):
        images, depths, poses = pictures(1)
        depths[0][:2] = [[0], [65535]]
        write_sens(path, images, depths, poses, K, depth_K=DEPTH_K, shift=5000.0)
        depth = read_sens(path)[0][0].depth()
        assert not depth[:2].any()
        np.testing.assert_array_equal(depth[2:], np.float32(depths[0][2:]) / np.float32(5000))

    @pytest.mark.parametrize(
        ("codecs", "text"),
        [
            ({"depth": "occi"}, r"depth compression is 2 \(occi\), expected 0 \(raw\) or 1"),
            ({"depth": -1}, r"depth compression is -1, expected 0"),
            ({"color": -1}, r"colour compression is -1, expected 0 \(raw\), 1 \(png\) or 2"),
            ({"color": 3}, r"colour compression is 3, expected"),
        ],
    )
    def test_unknown(self, path, codecs, text):
        write_frames(path, sens_frame(*payloads()), depth_K=DEPTH_K, **codecs)
        with pytest.raises(GeosetError, match=rf"room.sens: {text}"):
            read_sens(path)


class TestIndex:
    def test_what_follows_the_frames_is_ignored(self, path):
        imu = struct.pack("<Q", 3) + bytes(range(200))
        frames, rejected = read_sens(write_sens(path, *pictures(), K, depth_K=DEPTH_K, imu=imu))
        assert (len(frames), rejected) == (4, [])

    def test_no_pixel_is_decoded(self, path):
        frame = sens_frame(np.eye(4), b"no image", b"no depth")
        frames, rejected = read_sens(write_frames(path, frame, frame, depth_K=DEPTH_K))
        assert (names(frames), rejected) == (["000000", "000001"], [])

    def test_lost_poses(self, path):
        _, color, depth = payloads()
        lost = np.full((4, 4), -np.inf), np.full((4, 4), np.nan), np.diag([2.0, 2, 2, 1])
        frames = [sens_frame(pose, color, depth) for pose in (np.eye(4), *lost, np.eye(4))]
        frames, rejected = read_sens(write_frames(path, *frames, depth_K=DEPTH_K))
        assert names(frames) == ["000000", "000004"]
        assert rejected == [
            ("000001", "pose has non-finite entries"),
            ("000002", "pose has non-finite entries"),
            ("000003", "pose is not rigid (its axes are not orthonormal)"),
        ]
        assert all(frame.image().any() and frame.depth().any() for frame in frames)

    def test_poses_are_rigid_to_the_last_digit(self, path):
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]]
        images, depths, _ = pictures(1)
        (frame,), _ = read_sens(write_sens(path, images, depths, [turn], K, depth_K=DEPTH_K))
        rotation = frame.world_from_camera[:3, :3]
        np.testing.assert_allclose(rotation, turn[:3, :3], atol=1e-7)  # stored as float32
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), rtol=0, atol=1e-15)

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="lists open files by /proc")
    def test_no_file_stays_open(self, path):
        frames, _ = read_sens(write_sens(path, *pictures(), K, depth_K=DEPTH_K))
        frames[0].image()
        links = Path("/proc/self/fd").iterdir()
        targets = [str(link.readlink()) for link in links if link.is_symlink()]
        assert str(path) not in targets
        assert str(path) not in Path("/proc/self/maps").read_text()


class TestCut:
    @pytest.mark.parametrize("size", [1, 11, 20, HEADER_SIZE - 1])
    def test_within_the_header(self, path, size):
        write_sens(path, *pictures(), K, depth_K=DEPTH_K)
        path.write_bytes(path.read_bytes()[:size])
        text = f"{path}: is cut off within its header: it has {size} bytes, expected at least "
        with pytest.raises(GeosetError, match=re.escape(text)):
            read_sens(path)

    def test_empty(self, path):
        path.touch()
        with pytest.raises(GeosetError, match=r"room.sens: cannot be read \(.*empty"):
            read_sens(path)

    def test_after_the_header(self, path):
        write_frames(path, claimed=7, depth_K=DEPTH_K)
        text = rf"ScanNet layout, but no usable frame \(7 x {CUT_OFF}\)"
        with pytest.raises(GeosetError, match=text):
            open_scan(path)

    @pytest.mark.parametrize("left", [1, 95, 96, 97, 400])
    def test_within_a_frame(self, path, left):
        frames = [sens_frame(*payloads(k)) for k in range(4)]
        assert min(map(len, frames)) > 401
        write_frames(path, frames[0], frames[1], frames[2][:left], claimed=4, depth_K=DEPTH_K)
        usable, rejected = read_sens(path)
        assert names(usable) == ["000000", "000001"]
        assert all(frame.image().any() and frame.depth().any() for frame in usable)
        assert rejected == [("000002", CUT_OFF), ("000003", CUT_OFF)]

    def test_header_claims_more_frames_than_there_are(self, path):
        write_frames(
            path, *(sens_frame(*payloads(k)) for k in range(4)), claimed=6, depth_K=DEPTH_K
        )
        frames, rejected = read_sens(path)
        assert len(frames) == 4
        assert rejected == [("000004", CUT_OFF), ("000005", CUT_OFF)]

    def test_header_claims_fewer_frames_than_there_are(self, path):
        write_frames(
            path, *(sens_frame(*payloads(k)) for k in range(4)), claimed=2, depth_K=DEPTH_K
        )
        frames, rejected = read_sens(path)
        assert (len(frames), rejected) == (2, [])

    def test_while_in_use(self, path):
        frames, _ = read_sens(write_sens(path, *pictures(), K, depth_K=DEPTH_K))
        path.write_bytes(path.read_bytes()[: HEADER_SIZE + 100])
        for read in (frames[0].image, frames[3].image, frames[3].depth):
            with pytest.raises(FrameError, match=r"room.sens"):
                read()
        path.unlink()
        with pytest.raises(FrameError, match=r"room.sens: file is missing"):
            frames[0].image()
