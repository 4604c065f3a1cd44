"""How images, depth and vertex maps are stored inside `frames.tar`."""

import io

import numpy as np
import simplejpeg
import zstandard
from PIL import Image

JPEG_QUALITY = 92
ZSTD_LEVEL = 9
MEMBERS = {"image": "jpg", "depth": "depth.png", "vertex_map": "vertices.zst"}
MOST_MILLIMETRES = 65534  # 65535 is what some sensors write for "none"


def encode_image(image: np.ndarray) -> bytes:
    """Encode (H,W,3) uint8 RGB as JPEG."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=JPEG_QUALITY, colorspace="RGB"
    )


def decode_image(data: bytes) -> np.ndarray:
    """Decode JPEG to (H,W,3) uint8 RGB."""
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def encode_depth(depth: np.ndarray) -> bytes:
    """Encode (H,W) metres as a 16-bit PNG of millimetres, 0 = none."""
    millimetres = np.clip(np.round(depth * 1000), 0, MOST_MILLIMETRES).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(millimetres).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def decode_depth(data: bytes) -> np.ndarray:
    """Decode a 16-bit PNG of millimetres to (H,W) float32 metres."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image, dtype=np.float32) / np.float32(1000)


def encode_vertex_map(vertex_map: np.ndarray) -> bytes:
    """Encode (H,W) int32: differences along the raster, split into byte planes, zstd.

    Neighbouring pixels see neighbouring vertices, so differences are small and three of the four
    planes nearly constant.
    """
    flat = np.ascontiguousarray(vertex_map, dtype="<i4").reshape(-1)
    difference = np.diff(flat, prepend=np.int32(0)).astype("<i4")
    zigzag = (difference << 1) ^ (difference >> 31)  # small negatives get small codes too
    planes = np.ascontiguousarray(zigzag.view(np.uint8).reshape(-1, 4).T)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(planes.tobytes())


def decode_vertex_map(data: bytes, height: int, width: int) -> np.ndarray:
    """Decode what `encode_vertex_map` wrote to (H,W) int32."""
    size = 4 * height * width
    planes = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if len(planes) != size:
        raise ValueError(f"vertex map holds {len(planes)} bytes, expected {size}")
    codes = np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(4, -1).T).view("<u4")
    difference = (codes >> 1).astype(np.int32) ^ -(codes & 1).astype(np.int32)
    return np.cumsum(difference, dtype=np.int32).reshape(height, width)
