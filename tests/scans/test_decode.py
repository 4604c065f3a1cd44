import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.scans.decode import (
    image_size,
    mesh_reader,
    natural_key,
    read_color,
    read_depth,
    read_integers,
    read_intrinsics,
    read_json,
    read_mask,
    read_matrix,
)

GRADIENT = np.stack(np.meshgrid(np.arange(0, 200, 5), np.arange(0, 150, 5)), -1).astype(np.uint8)
COLOR = np.concatenate([GRADIENT, np.full((30, 40, 1), 77, np.uint8)], axis=-1)


def save(path, pixels):
    Image.fromarray(pixels).save(path, quality=95)
    return path


def cut(path, share=0.5):
    """Leave only the first part of a file, header included."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


class TestColor:
    def test_png_is_exact(self, tmp_path):
        read = read_color(save(tmp_path / "a.png", COLOR))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, COLOR)

    @pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
    def test_jpeg_is_rgb(self, tmp_path, suffix):
        read = read_color(save(tmp_path / f"a.{suffix}", COLOR))
        assert read.shape == COLOR.shape
        assert np.abs(read.astype(int) - COLOR).max() <= 12

    def test_grey_and_alpha_become_rgb(self, tmp_path):
        grey = read_color(save(tmp_path / "grey.png", COLOR[..., 0]))
        np.testing.assert_array_equal(grey, np.repeat(COLOR[..., :1], 3, axis=-1))
        alpha = np.dstack([COLOR, np.full((30, 40), 9, np.uint8)])
        np.testing.assert_array_equal(read_color(save(tmp_path / "alpha.png", alpha)), COLOR)
        grey_jpeg = read_color(save(tmp_path / "grey.jpg", COLOR[..., 0]))
        assert grey_jpeg.shape == COLOR.shape

    @pytest.mark.parametrize("name", ["a.png", "a.jpg"])
    def test_cut_file_has_a_size_but_no_pixels(self, tmp_path, name):
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        path = cut(save(tmp_path / name, noise))
        assert image_size(path) == (80, 60)
        with pytest.raises(GeosetError, match=re.escape(f"{path}: cannot be read (")):
            read_color(path)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg"])
    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
    def test_other_content(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_bytes(content)
        for read in (image_size, read_color):
            with pytest.raises(GeosetError, match=re.escape(f"{path}: cannot be read (")):
                read(path)

    @pytest.mark.parametrize("read", [image_size, read_color, read_integers, read_depth])
    @pytest.mark.parametrize("name", ["a.png", "a.jpg"])
    def test_missing(self, tmp_path, read, name):
        with pytest.raises(GeosetError, match=re.escape(f"{tmp_path / name}: file is missing")):
            read(tmp_path / name)


class TestHeadersThatLie:
    """Sizes beyond what the file can hold are refused before memory is taken for them."""

    def png(self, path, width, height):
        def chunk(kind, data):
            check = zlib.crc32(kind + data)
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

        header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
        rows = chunk(b"IDAT", zlib.compress(bytes(100)))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows)
        return path

    @pytest.mark.parametrize("read", [image_size, read_color, read_integers, read_depth])
    def test_png(self, tmp_path, read):
        path = self.png(tmp_path / "a.png", 9_000, 8_000)
        text = f"{path}: cannot be read (it claims 9000 x 8000 pixels in"
        with pytest.raises(GeosetError, match=re.escape(text)):
            read(path)

    @pytest.mark.parametrize("read", [image_size, read_color])
    def test_jpeg(self, tmp_path, read):
        path = save(tmp_path / "a.jpg", COLOR)
        data = bytearray(path.read_bytes())
        place = data.index(b"\xff\xc0") + 5  # of the height in the frame's header
        data[place : place + 4] = struct.pack(">HH", 8_000, 9_000)
        path.write_bytes(data)
        with pytest.raises(GeosetError, match=r"cannot be read \(it claims \d000 x \d000 pixels"):
            read(path)

    def test_black_images_are_read(self, tmp_path):
        black = np.zeros((3000, 4000), np.uint8)
        Image.fromarray(black).convert("1").save(tmp_path / "a.png", compress_level=9)
        assert image_size(tmp_path / "a.png") == (4000, 3000)
        assert not read_color(tmp_path / "a.png").any()

    def test_only_png_and_jpeg(self, tmp_path):
        Image.fromarray(COLOR).save(tmp_path / "a.eps")
        (tmp_path / "a.eps").rename(tmp_path / "a.png")
        for read in (image_size, read_color, read_integers):
            with pytest.raises(GeosetError, match=r"cannot be read \(cannot identify"):
                read(tmp_path / "a.png")


class TestIntegers:
    def test_8_and_16_bits(self, tmp_path):
        for dtype in (np.uint8, np.uint16):
            top = np.iinfo(dtype).max
            pixels = np.array([[0, 1], [top - 1, top]], dtype)
            read = read_integers(save(tmp_path / "a.png", pixels))
            assert read.dtype == np.uint16
            np.testing.assert_array_equal(read, pixels)

    def test_several_channels_are_refused(self, tmp_path):
        path = save(tmp_path / "a.png", COLOR)
        text = f"{path}: expected one channel of 8 or 16 bits, found (30, 40, 3)"
        with pytest.raises(GeosetError, match=re.escape(text)):
            read_integers(path)


class TestDepth:
    def test_millimetres_become_metres(self, tmp_path):
        path = save(tmp_path / "a.png", np.array([[1, 1500, 65534]], np.uint16))
        depth = read_depth(path)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, np.float32([[0.001, 1.5, 65.534]]))
        np.testing.assert_array_equal(read_depth(path, 5000), np.float32([[0.0002, 0.3, 13.1068]]))

    def test_both_ways_to_say_none_become_zero(self, tmp_path):
        path = save(tmp_path / "a.png", np.array([[0, 65535, 1000]], np.uint16))
        np.testing.assert_array_equal(read_depth(path), [[0, 0, 1]])
        np.testing.assert_array_equal(read_depth(path, 6553.5), np.float32([[0, 0, 1000 / 6553.5]]))

    def test_cut_file(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 9000, (60, 80), dtype=np.uint16)
        path = cut(save(tmp_path / "a.png", noise))
        with pytest.raises(GeosetError, match=re.escape(f"{path}: cannot be read (")):
            read_depth(path)


class TestMatrices:
    def test_rows(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text(" 1 2.5e-3\t-3\r\n\n-inf nan 6 \n")
        matrix = read_matrix(path)
        assert matrix.dtype == np.float64
        np.testing.assert_array_equal(matrix, [[1, 0.0025, -3], [-np.inf, np.nan, 6]])

    def test_one_row_stays_a_matrix(self, tmp_path):
        (tmp_path / "a.txt").write_text("1 2 3 4")
        assert read_matrix(tmp_path / "a.txt").shape == (1, 4)

    @pytest.mark.parametrize("text", ["", "\n \n"])
    def test_empty(self, tmp_path, text):
        path = tmp_path / "a.txt"
        path.write_text(text)
        with pytest.raises(GeosetError, match=re.escape(f"{path}: is empty, expected a matrix")):
            read_matrix(path)

    @pytest.mark.parametrize("content", [b"1 2\n3\n", b"one two\n", b"\x80\xff\x00"])
    def test_no_matrix(self, tmp_path, content):
        path = tmp_path / "a.txt"
        path.write_bytes(content)
        with pytest.raises(GeosetError, match=re.escape(f"{path}: cannot be read (")):
            read_matrix(path)

    def test_missing(self, tmp_path):
        with pytest.raises(GeosetError, match=re.escape(f"{tmp_path / 'a.txt'}: file is missing")):
            read_matrix(tmp_path / "a.txt")


class TestIntrinsics:
    K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])

    @pytest.mark.parametrize("size", [3, 4])
    def test_centre_moves_by_half_a_pixel(self, tmp_path, size):
        matrix = np.eye(size)
        matrix[:3, :3] = self.K
        np.savetxt(tmp_path / "K.txt", matrix)
        camera = read_intrinsics(tmp_path / "K.txt", 640, 480)
        assert (camera.width, camera.height) == (640, 480)
        np.testing.assert_array_equal(camera.K, [[500, 0, 320], [0, 510, 240], [0, 0, 1]])

    @pytest.mark.parametrize(
        "matrix", [K[:2], np.eye(2), K * [[1], [-1], [1]], K * [[np.nan], [1], [1]], K * 0]
    )
    def test_no_camera_matrix(self, tmp_path, matrix):
        np.savetxt(tmp_path / "K.txt", matrix)
        text = (
            f"{tmp_path / 'K.txt'}: expected a 3x3 (or 4x4) camera matrix with positive focal "
            f"lengths, found {matrix.tolist()}"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            read_intrinsics(tmp_path / "K.txt", 640, 480)

    def test_matrix_of_another_image_size(self, tmp_path):
        np.savetxt(tmp_path / "K.txt", self.K)
        with pytest.raises(GeosetError, match=r"K.txt: the centre 319.5, 239.5 is not near"):
            read_intrinsics(tmp_path / "K.txt", 320, 240)


class TestJson:
    def test_is_read(self, tmp_path):
        (tmp_path / "a.json").write_text('{"w": [1, 2.5, null]}', encoding="utf-8")
        assert read_json(tmp_path / "a.json") == {"w": [1, 2.5, None]}

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
    def test_no_json(self, tmp_path, content):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(GeosetError, match=r"a\.json: cannot be read \("):
            read_json(tmp_path / "a.json")

    def test_missing(self, tmp_path):
        with pytest.raises(GeosetError, match=re.escape(f"{tmp_path / 'a'}: file is missing")):
            read_json(tmp_path / "a")


def test_a_mask_may_have_any_colour(tmp_path):
    path = save(tmp_path / "mask.png", np.array([[[0, 0, 0], [0, 200, 0]]], np.uint8))
    assert read_mask(path).tolist() == [[False, True]]
    assert read_mask(path, masked_is_black=True).tolist() == [[True, False]]


def test_first_mesh_that_is_there(tmp_path):
    mesh = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    write_ply(tmp_path / "b.ply", mesh)
    (tmp_path / "a.ply").mkdir()
    read = mesh_reader(tmp_path / "a.ply", tmp_path / "b.ply", tmp_path / "c.ply")
    np.testing.assert_array_equal(read().vertices, mesh.vertices)
    assert mesh_reader(tmp_path / "a.ply", tmp_path / "c.ply") is None


def test_natural_order():
    names = ["10", "9", "frame-2", "frame-10", "frame-²", "seq-02/1", "seq-1/12", "a", "000100"]
    ordered = ["9", "10", "000100", "a", "frame-2", "frame-10", "frame-²", "seq-1/12", "seq-02/1"]
    assert sorted(names, key=natural_key) == ordered
