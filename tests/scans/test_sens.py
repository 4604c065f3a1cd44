"""The .sens file itself: codecs, cuts, and sizes that lie."""

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.scans.scan import FrameError, count_reasons
from geoset.scans.sens import CUT_OFF, read_sens
from scan_formats.sens import encode_color, encode_depth, sens_frame, sens_header, write_sens

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
DEPTH_K = np.array([[30.0, 0, 9], [0, 31, 8], [0, 0, 1]])
SIZES = (40, 30), (20, 15)
HEADER_SIZE = 4 + 8 + 15 + 4 * 64 + 2 * 4 + 4 * 4 + 4 + 8


def pictures(count=4):
    """Smooth images, depths and poses that all differ."""
    rng = np.random.default_rng(count)
    ramp = np.add.outer(np.arange(30), np.arange(40))
    images = [np.stack([ramp + k, ramp + 100, 200 - ramp], -1).astype(np.uint8) for k in range(4)]
    depths = [rng.integers(1, 6000, (15, 20), dtype=np.uint16) for _ in range(count)]
    poses = [np.eye(4) + 0.5 * k * np.eye(4, k=3) for k in range(count)]
    return images[:count], depths, poses


def payloads(k=0):
    images, depths, poses = pictures()
    return poses[k], encode_color(images[k], "jpeg"), encode_depth(depths[k], "zlib")


def write(path, *frames, claimed=None, **header):
    """Write a file of the bytes of frames."""
    claimed = len(frames) if claimed is None else claimed
    path.write_bytes(sens_header(K, SIZES, frames=claimed, **header) + b"".join(frames))
    return path


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
        write(path, sens_frame(*payloads()), depth_K=DEPTH_K, **codecs)
        with pytest.raises(GeosetError, match=rf"room.sens: {text}"):
            read_sens(path)


class TestIndex:
    def test_what_follows_the_frames_is_ignored(self, path):
        imu = struct.pack("<Q", 3) + bytes(range(200))
        frames, rejected = read_sens(write_sens(path, *pictures(), K, depth_K=DEPTH_K, imu=imu))
        assert (len(frames), rejected) == (4, [])

    def test_no_pixel_is_decoded(self, path):
        frame = sens_frame(np.eye(4), b"no image", b"no depth")
        frames, rejected = read_sens(write(path, frame, frame, depth_K=DEPTH_K))
        assert (names(frames), rejected) == (["000000", "000001"], [])

    def test_lost_poses(self, path):
        _, color, depth = payloads()
        lost = np.full((4, 4), -np.inf), np.full((4, 4), np.nan), np.diag([2.0, 2, 2, 1])
        frames = [sens_frame(pose, color, depth) for pose in (np.eye(4), *lost, np.eye(4))]
        frames, rejected = read_sens(write(path, *frames, depth_K=DEPTH_K))
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
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-15)

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
        write(path, claimed=7, depth_K=DEPTH_K)
        text = rf"ScanNet layout, but no usable frame \(7 x {CUT_OFF}\)"
        with pytest.raises(GeosetError, match=text):
            open_scan(path)

    @pytest.mark.parametrize("left", [1, 95, 96, 97, 400])
    def test_within_a_frame(self, path, left):
        frames = [sens_frame(*payloads(k)) for k in range(4)]
        assert min(map(len, frames)) > 401
        write(path, frames[0], frames[1], frames[2][:left], claimed=4, depth_K=DEPTH_K)
        usable, rejected = read_sens(path)
        assert names(usable) == ["000000", "000001"]
        assert all(frame.image().any() and frame.depth().any() for frame in usable)
        assert rejected == [("000002", CUT_OFF), ("000003", CUT_OFF)]

    def test_header_claims_more_frames_than_there_are(self, path):
        write(path, *(sens_frame(*payloads(k)) for k in range(4)), claimed=6, depth_K=DEPTH_K)
        frames, rejected = read_sens(path)
        assert len(frames) == 4
        assert rejected == [("000004", CUT_OFF), ("000005", CUT_OFF)]

    def test_header_claims_fewer_frames_than_there_are(self, path):
        write(path, *(sens_frame(*payloads(k)) for k in range(4)), claimed=2, depth_K=DEPTH_K)
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


class TestHeadersThatLie:
    @pytest.mark.parametrize("version", [0, 3, 5, 2**32 - 1])
    def test_version(self, path, version):
        write(path, sens_frame(*payloads()), depth_K=DEPTH_K, version=version)
        text = f"{path}: is of version {version}, expected a .sens file of version 4"
        with pytest.raises(GeosetError, match=re.escape(text)):
            read_sens(path)

    @pytest.mark.parametrize("length", [10**6, 2**63, 2**64 - 1])
    def test_name(self, path, length):
        write(path, sens_frame(*payloads()), depth_K=DEPTH_K, name_length=length)
        with pytest.raises(GeosetError, match="is cut off within its header"):
            read_sens(path)

    @pytest.mark.parametrize("frames", [10**6 + 1, 2**64 - 1])
    def test_frame_count(self, path, frames):
        write(path, sens_frame(*payloads()), depth_K=DEPTH_K, claimed=frames)
        text = rf"its header is damaged: .* {frames} frames, expected .* at most 1000000"
        with pytest.raises(GeosetError, match=text):
            read_sens(path)

    @pytest.mark.parametrize("shift", [0.0, 1e-40, 0.9, -1000.0, 1.1e6, np.nan, np.inf])
    def test_depth_shift(self, path, shift):
        write(path, sens_frame(*payloads()), depth_K=DEPTH_K, shift=shift)
        with pytest.raises(GeosetError, match=r"damaged: .* units of depth a metre"):
            read_sens(path)

    @pytest.mark.parametrize("size", [(0, 30), (40, 0), (2**32 - 1, 2**32 - 1), (65536, 513)])
    @pytest.mark.parametrize("kind", ["colour", "depth"])
    def test_image_size(self, path, size, kind):
        sizes = (size, SIZES[1]) if kind == "colour" else (SIZES[0], size)
        path.write_bytes(sens_header(K, sizes, frames=1, depth_K=DEPTH_K))
        text = rf"its header is damaged: images of {size[0]}x{size[1]}, expected 1 to 33554432"
        with pytest.raises(GeosetError, match=text):
            read_sens(path)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -50.0, 0.0])
    def test_intrinsics(self, path, value):
        wrong = K.copy()
        wrong[0, 0] = value
        path.write_bytes(sens_header(wrong, SIZES, frames=1, depth_K=DEPTH_K))
        with pytest.raises(GeosetError, match=r"room.sens: expected a 3x3 \(or 4x4\) camera"):
            read_sens(path)

    def test_intrinsics_of_another_size(self, path):
        path.write_bytes(sens_header(K * [[2], [2], [1]], SIZES, frames=1, depth_K=DEPTH_K))
        with pytest.raises(GeosetError, match="the centre 39, 29 is not near the middle of"):
            read_sens(path)


class TestFramesThatLie:
    @pytest.mark.parametrize("size", [10**6, 2**31, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("kind", ["color_size", "depth_size"])
    def test_payload_beyond_the_end(self, path, kind, size):
        whole = [sens_frame(*payloads(k)) for k in range(4)]
        whole[1] = sens_frame(*payloads(1), **{kind: size})
        frames, rejected = read_sens(write(path, *whole, depth_K=DEPTH_K))
        assert names(frames) == ["000000"]
        assert count_reasons(rejected) == {CUT_OFF: 3}

    def test_payload_within_the_file(self, path):
        """What follows is read at the wrong place; it must not be taken for frames."""
        whole = [sens_frame(*payloads(k)) for k in range(4)]
        whole[1] = sens_frame(*payloads(1), color_size=10)
        frames, rejected = read_sens(write(path, *whole, depth_K=DEPTH_K))
        assert names(frames)[0] == "000000"
        assert len(frames) + len(rejected) == 4
        for frame in frames[1:]:
            with pytest.raises(FrameError):
                frame.image()

    @pytest.mark.parametrize(
        ("codec", "data", "text"),
        [
            ("jpeg", b"", "an image has 0 bytes, expected 1 to"),
            ("jpeg", b"no image", "cannot be read"),
            ("png", b"no image", "cannot be read"),
            ("png", encode_color(pictures()[0][0], "jpeg"), "cannot be read"),  # another codec
            ("jpeg", encode_color(pictures()[0][0], "jpeg")[:300], "cannot be read"),
            ("png", encode_color(pictures()[0][0], "png")[:60], "cannot be read"),
            ("raw", bytes(40 * 30 * 3 - 1), "an image has 3599 bytes, expected 3600"),
            ("raw", bytes(40 * 30 * 3 + 1), "an image has 3601 bytes, expected 3600"),
            ("jpeg", bytes(2 * 3600 + 65537), "an image has 72737 bytes, expected 1 to 72736"),
            *(
                (
                    codec,
                    encode_color(np.zeros((31, 40, 3), np.uint8), codec),
                    r"cannot be read \(an image is 40x31, expected 40x30 as the file's header says",
                )
                for codec in ("jpeg", "png")
            ),
        ],
        ids=lambda value: "data" if isinstance(value, bytes) else None,
    )
    def test_color(self, path, codec, data, text):
        pose, _, depth = payloads()
        write(path, sens_frame(pose, data, depth), depth_K=DEPTH_K, color=codec)
        (frame,), _ = read_sens(path)
        with pytest.raises(FrameError, match=f"000000: .*room.sens: {text}") as found:
            frame.image()
        assert found.value.reason == "unreadable colour file"
        assert frame.depth().any()

    @pytest.mark.parametrize(
        ("codec", "data", "text"),
        [
            ("zlib", b"", "an image has 0 bytes"),
            ("zlib", b"no depth", "cannot be read"),
            ("zlib", zlib.compress(bytes(599)), "an image has 599 bytes, expected 600"),
            ("zlib", zlib.compress(bytes(601)), "an image has 601 bytes, expected 600"),
            ("zlib", zlib.compress(bytes(600))[:-4], "depth is not whole"),  # no checksum
            ("zlib", zlib.compress(bytes(600))[:-4] + bytes(4), "cannot be read"),  # a wrong one
            ("raw", bytes(599), "an image has 599 bytes, expected 600"),
        ],
        ids=lambda value: "data" if isinstance(value, bytes) else None,
    )
    def test_depth(self, path, codec, data, text):
        pose, color, _ = payloads()
        write(path, sens_frame(pose, color, data), depth_K=DEPTH_K, depth=codec)
        (frame,), _ = read_sens(path)
        with pytest.raises(FrameError, match=f"000000: .*room.sens: {text}") as found:
            frame.depth()
        assert found.value.reason == "unreadable depth file"
        assert frame.image().any()


BOMBS = """
import sys
from pathlib import Path
from geoset.errors import GeosetError
from geoset.scans.sens import read_sens
def most_resident():  # not ru_maxrss, which counts the parent's too
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
frames, _ = read_sens(Path(sys.argv[1]))
frames[0].depth(), frames[0].image()  # what decoders take for themselves
before = most_resident()
for frame in frames[1:]:
    for read in (frame.image, frame.depth):
        try:
            read()
            print("read")
        except GeosetError:
            print("refused")
print(most_resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="measures by /proc")
def test_bombs_take_no_memory(path):
    """300 MB of zeros as depth, and a JPEG whose header says 60000 x 60000, in small files."""
    pose, color, depth = payloads()
    jpeg = bytearray(color)
    start = jpeg.index(b"\xff\xc0")  # marker, length, precision, height, width
    jpeg[start + 5 : start + 9] = struct.pack(">2H", 60000, 60000)
    bomb = zlib.compress(zlib.compress(bytes(3 * 10**8), 9), 9)  # 300 MB in 291 kB
    assert zlib.decompressobj().decompress(zlib.decompress(bomb), 10) == bytes(10)
    once = zlib.compress(bytes(6 * 10**7), 9)  # 60 MB in 58 kB: as much as a frame may have
    frames = [sens_frame(pose, color, depth), sens_frame(pose, bytes(jpeg), zlib.decompress(bomb)),
              sens_frame(pose, bytes(jpeg), once)]  # fmt: skip
    write(path, *frames, depth_K=DEPTH_K)
    command = [sys.executable, "-c", BOMBS, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert out[:-1] == ["refused"] * 4
    assert int(out[-1]) <= 8  # MB
