"""A .sens file whose header or frames lie: no crash, and no memory beyond what it may hold."""

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.scans.scan import FrameError, count_reasons
from geoset.scans.sens import CUT_OFF, read_sens
from scan_formats.sens import encode_color, sens_frame, sens_header
from scan_formats.tiny_sens import DEPTH_K, SIZES, K, payloads, pictures, write_frames


@pytest.fixture
def path(tmp_path):
    return tmp_path / "room.sens"


def names(frames):
    return [frame.name for frame in frames]


class TestHeadersThatLie:
    @pytest.mark.parametrize("version", [0, 3, 5, 2**32 - 1])
    def test_version(self, path, version):
        write_frames(path, sens_frame(*payloads()), depth_K=DEPTH_K, version=version)
        text = f"{path}: is of version {version}, expected a .sens file of version 4"
        with pytest.raises(GeosetError, match=re.escape(text)):
            read_sens(path)

    @pytest.mark.parametrize("length", [10**6, 2**63, 2**64 - 1])
    def test_name(self, path, length):
        write_frames(path, sens_frame(*payloads()), depth_K=DEPTH_K, name_length=length)
        with pytest.raises(GeosetError, match="is cut off within its header"):
            read_sens(path)

    @pytest.mark.parametrize("frames", [10**6 + 1, 2**64 - 1])
    def test_frame_count(self, path, frames):
        write_frames(path, sens_frame(*payloads()), depth_K=DEPTH_K, claimed=frames)
        text = rf"its header is damaged: .* {frames} frames, expected .* at most 1000000"
        with pytest.raises(GeosetError, match=text):
            read_sens(path)

    @pytest.mark.parametrize("shift", [0.0, 1e-40, 0.9, -1000.0, 1.1e6, np.nan, np.inf])
    def test_depth_shift(self, path, shift):
        write_frames(path, sens_frame(*payloads()), depth_K=DEPTH_K, shift=shift)
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
        frames, rejected = read_sens(write_frames(path, *whole, depth_K=DEPTH_K))
        assert names(frames) == ["000000"]
        assert count_reasons(rejected) == {CUT_OFF: 3}

    def test_payload_within_the_file(self, path):
        """What follows is read at the wrong place; it must not be taken for frames."""
        whole = [sens_frame(*payloads(k)) for k in range(4)]
        whole[1] = sens_frame(*payloads(1), color_size=10)
        frames, rejected = read_sens(write_frames(path, *whole, depth_K=DEPTH_K))
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
        write_frames(path, sens_frame(pose, data, depth), depth_K=DEPTH_K, color=codec)
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
        write_frames(path, sens_frame(pose, color, data), depth_K=DEPTH_K, depth=codec)
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
    write_frames(path, *frames, depth_K=DEPTH_K)
    command = [sys.executable, "-c", BOMBS, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert out[:-1] == ["refused"] * 4
    assert int(out[-1]) <= 8  # MB
