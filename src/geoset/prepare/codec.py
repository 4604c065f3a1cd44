"""How images, depth and vertex maps are stored inside `frames.tar`."""

import io

import numpy as np
import simplejpeg
import zstandard
from PIL import Image

JPEG_QUALITY = 92
ZSTD_LEVEL = 6
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
    """Encode (H,W) int32 as its little-endian raster, under zstd.

    Differences and byte planes were measured to be larger: rows repeat the row above.
    """
    raster = np.ascontiguousarray(vertex_map, dtype="<i4")
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(raster.tobytes())


def decode_vertex_map(data: bytes, height: int, width: int) -> np.ndarray:
    """Decode what `encode_vertex_map` wrote to (H,W) int32."""
    size = 4 * height * width
    raster = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if len(raster) != size:
        raise ValueError(f"vertex map holds {len(raster)} bytes, expected {size}")
    return np.frombuffer(raster, dtype="<i4").reshape(height, width)
