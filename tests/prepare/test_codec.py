import io

import numpy as np
import pytest
import zstandard
from PIL import Image

from geoset.prepare import codec


def smooth_image(height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


def test_images_come_back_almost_the_same_and_in_the_same_channels():
    image = smooth_image()
    data = codec.encode_image(image)
    decoded = codec.decode_image(data)
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).max() <= 6
    by_pillow = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(by_pillow.astype(int) - image).max() <= 6


def test_depth_is_millimetres_in_a_16_bit_png():
    depth = np.float32([[0, 0.0004, 0.0006], [1.2344, 1.2346, 65.534], [65.535, 70, 1000]])
    data = codec.encode_depth(depth)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        stored = np.asarray(image)
    # 65535 means "none" elsewhere, so that the farthest depth is one less
    assert stored.tolist() == [[0, 0, 1], [1234, 1235, 65534], [65534, 65534, 65534]]
    decoded = codec.decode_depth(data)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, stored.astype(np.float32) / np.float32(1000))


def test_vertex_maps_come_back_exactly():
    rng = np.random.default_rng(0)
    vertex_map = rng.integers(-1, 2**31 - 1, (30, 41)).astype(np.int32)
    vertex_map[0, 0], vertex_map[0, 1], vertex_map[0, 2] = -1, 0, 2**31 - 1
    data = codec.encode_vertex_map(vertex_map[:, ::-1])  # not contiguous
    decoded = codec.decode_vertex_map(data, 30, 41)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, vertex_map[:, ::-1])
    raster = np.frombuffer(zstandard.ZstdDecompressor().decompress(data), dtype="<i4")
    np.testing.assert_array_equal(raster, vertex_map[:, ::-1].ravel())


def test_a_vertex_map_of_another_size():
    data = codec.encode_vertex_map(np.zeros((4, 5), dtype=np.int32))
    with pytest.raises(ValueError, match="vertex map holds 80 bytes, expected 96"):
        codec.decode_vertex_map(data, 4, 6)
