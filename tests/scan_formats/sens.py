"""Writer of ScanNet's `.sens` files, version 4."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

COLOR_CODECS = {"raw": 0, "png": 1, "jpeg": 2}
DEPTH_CODECS = {"raw": 0, "zlib": 1, "occi": 2}


def write_sens(path, images, depths, poses, K, *, color="jpeg", depth="zlib", imu=b"", **header):
    """Write a file of frames; return `path`.

    images: (H,W,3) uint8 each
    depths: (h,w) each, in metres or, as uint16, what the file shall hold
    poses: (4,4) world_from_camera each
    K: (3,3) of colour, its centre given for whole-numbered pixel centres
    color, depth: names of the codecs
    imu: what follows the frames
    header: further arguments of `sens_header`
    """
    frames = [
        sens_frame(pose, encode_color(image, color), encode_depth(picture, depth))
        for image, picture, pose in zip(images, depths, poses, strict=True)
    ]
    sizes = images[0].shape[1::-1], depths[0].shape[::-1]
    header = {"color": color, "depth": depth, "frames": len(frames)} | header
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sens_header(K, sizes, **header) + b"".join(frames) + imu)
    return path


def sens_header(
    K,
    sizes,
    *,
    frames,
    color="jpeg",
    depth="zlib",
    depth_K=None,
    version=4,
    sensor=b"StructureSensor",
    name_length=None,
    shift=1000.0,
):
    """Return the bytes before the first frame.

    sizes: (width, height) of colour and of depth
    frames: how many the header claims
    color, depth: names of codecs, or numbers
    """
    extrinsic = np.eye(4)
    extrinsic[0, 3] = 0.025  # between the two cameras; not to be applied
    matrices = [_as_4x4(K), extrinsic, _as_4x4(K if depth_K is None else depth_K), extrinsic]
    return b"".join(
        [
            struct.pack("<I", version),
            struct.pack("<Q", len(sensor) if name_length is None else name_length),
            sensor,
            *(matrix.astype("<f4").tobytes() for matrix in matrices),
            struct.pack("<i", COLOR_CODECS.get(color, color)),
            struct.pack("<i", DEPTH_CODECS.get(depth, depth)),
            struct.pack("<4I", *sizes[0], *sizes[1]),
            struct.pack("<f", shift),
            struct.pack("<Q", frames),
        ]
    )


def sens_frame(pose, color, depth, color_size=None, depth_size=None):
    """Return the bytes of a frame; sizes other than those of the payloads are lies."""
    return b"".join(
        [
            np.asarray(pose).astype("<f4").tobytes(),
            struct.pack("<2Q", 1_000_033, 1_000_041),  # microseconds
            struct.pack("<Q", len(color) if color_size is None else color_size),
            struct.pack("<Q", len(depth) if depth_size is None else depth_size),
            color,
            depth,
        ]
    )


def encode_color(image, codec):
    """Compress (H,W,3) uint8."""
    if codec == "raw":
        return image.tobytes()
    stream = BytesIO()
    Image.fromarray(image).save(stream, format=codec, quality=95)
    return stream.getvalue()


def encode_depth(depth, codec):
    """Compress metres, as millimetres, or 16-bit integers as they are."""
    if np.issubdtype(depth.dtype, np.floating):
        depth = np.round(depth * 1000)
    data = depth.astype("<u2").tobytes()
    return zlib.compress(data) if codec == "zlib" else data


def _as_4x4(K):
    matrix = np.eye(4)
    matrix[:3, :3] = K
    return matrix
