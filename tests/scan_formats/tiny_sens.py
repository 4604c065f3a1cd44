"""Four frames of a small .sens file, whole or in parts."""

import numpy as np

from scan_formats.sens import encode_color, encode_depth, sens_header

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
DEPTH_K = np.array([[30.0, 0, 9], [0, 31, 8], [0, 0, 1]])
SIZES = (40, 30), (20, 15)


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


def write_frames(path, *frames, claimed=None, **header):
    """Write a file of the bytes of frames."""
    claimed = len(frames) if claimed is None else claimed
    path.write_bytes(sens_header(K, SIZES, frames=claimed, **header) + b"".join(frames))
    return path
