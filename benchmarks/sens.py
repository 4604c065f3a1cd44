"""A .sens file: opening it, and reading every 25th of its frames; resident memory.

    python benchmarks/sens.py [FILE]

Without FILE, a made-up one of 500 frames with the sizes of ScanNet: 1296x968 JPEG, 640x480 zlib.
Claims: open in under 50 ms; every 25th frame in at most 1.2 times what decoding its two images
takes from memory; under 200 MB more resident than before the file was opened.
"""

import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from inputs import machine
from scipy.ndimage import gaussian_filter

from geoset import open_scan

FRAMES, STEP, DISTINCT = 500, 25, 20
SCALES = (1.5, 40), (12, 150)  # of structure in the images: pixels, contrast
ROUNDS = 5


def write_video(path: Path) -> None:
    """Write 500 frames, of 20 kinds."""
    rng = np.random.default_rng(0)
    kinds = [encode(rng) for _ in range(DISTINCT)]
    K, depth_K = np.eye(4, dtype="<f4"), np.eye(4, dtype="<f4")
    K[:2, :3], depth_K[:2, :3] = [[1170, 0, 648], [0, 1170, 484]], [[578, 0, 320], [0, 578, 240]]
    rigid = np.eye(4, dtype="<f4").tobytes()
    with path.open("wb") as file:
        file.write(struct.pack("<IQ", 4, 7) + b"made-up")
        file.write(K.tobytes() + rigid + depth_K.tobytes() + rigid)
        file.write(struct.pack("<2i4IfQ", 2, 1, 1296, 968, 640, 480, 1000.0, FRAMES))
        for k in range(FRAMES):
            color, depth = kinds[k % DISTINCT]
            file.write(rigid + struct.pack("<4Q", k, k, len(color), len(depth)) + color + depth)


def encode(rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Return the payloads of a frame, some 200 kB each, as those of ScanNet."""
    noise = rng.normal(size=(968, 1296, 3)).astype(np.float32)
    color = sum(gaussian_filter(noise, (s, s, 0)) * s * contrast for s, contrast in SCALES)
    z = 2500 + gaussian_filter(rng.normal(size=(480, 640)), 25) * 20000
    z = np.clip(np.round(z / 3) * 3 + rng.integers(-1, 2, z.shape), 400, 8000).astype("<u2")
    pixels = np.clip(128 + color, 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=80, colorspace="RGB"), zlib.compress(z.tobytes())


def payloads(path: Path) -> list[tuple[bytes, bytes]]:
    """Return colour and depth of every 25th frame as they are stored."""
    content, found = path.read_bytes(), []
    start = 12 + struct.unpack_from("<Q", content, 4)[0] + 256
    *_, frames = struct.unpack_from("<2i4IfQ", content, start)
    start += struct.calcsize("<2i4IfQ")
    for k in range(frames):
        *_, color, depth = struct.unpack_from("<16f4Q", content, start)
        start += struct.calcsize("<16f4Q")
        if k % STEP == 0:
            found.append(
                (content[start : start + color], content[start + color : start + color + depth])
            )
        start += color + depth
    return found


def decode(stored: list[tuple[bytes, bytes]]) -> None:
    for color, depth in stored:
        simplejpeg.decode_jpeg(color, colorspace="RGB")
        zlib.decompress(depth)


def read_frames(path: Path) -> None:
    for frame in open_scan(path).frames[::STEP]:
        frame.image()
        frame.depth()


def fastest(*runs: Callable[[], object]) -> list[float]:
    """Return the least milliseconds of each, of several rounds in turn."""
    times = []
    for _ in range(ROUNDS):
        for run in runs:
            began = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - began))
    return [min(times[k :: len(runs)]) for k in range(len(runs))]


def resident() -> float:
    """Return the most memory that this process has had resident so far, in MB."""
    status = Path("/proc/self/status").read_text()  # ru_maxrss counts the parent's as well
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(path: Path) -> None:
    before = resident()
    read_frames(path)
    grown = resident() - before
    stored = payloads(path)
    opening, reading, decoding = fastest(
        lambda: open_scan(path), lambda: read_frames(path), lambda: decode(stored)
    )
    print(machine())
    print(
        f"{path.stat().st_size / 1e6:.0f} MB, {len(stored)} frames read, best of {ROUNDS}: "
        f"opening {opening:.0f} ms; opening and reading {reading:.0f} ms, decoding alone "
        f"{decoding:.0f} ms, ratio {reading / decoding:.2f} ({(reading - opening) / decoding:.2f} "
        f"once open); {grown:.0f} MB more resident"
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video.sens"
            write_video(video)
            subprocess.run([sys.executable, __file__, str(video)], check=True)
