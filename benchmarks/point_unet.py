"""The 3D network of the Geo loss: convolving a few hundred voxels at a time, and all at once.

    python benchmarks/point_unet.py [PREPARED]

Without PREPARED, a made-up room. Forward and backward of the voxels around two views, on one
thread; both ways alternate. Claim: a few hundred at a time is faster, as what is gathered of their
neighbours stays in the processor's cache.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from inputs import machine, prepared_or_room

from geoset import PreparedScene
from geoset.data.points import PointBatch, PointSampler
from geoset.models import point_unet
from geoset.prepare.data_set import open_scenes

CASES = ((0.125, 0.1), (0.125, 0.04), (0.25, 0.04), (1.0, 0.1))  # width, metres a voxel
ALL = 10**9
STEPS = 5  # the first warms up


def points_of(scene: PreparedScene, voxel_size: float) -> PointBatch:
    """Return the voxels around the first and the last view."""
    frames = (0, len(scene.frame_ids) - 1)
    depth = np.stack([scene.depth(frame) for frame in frames])
    return PointSampler([scene], voxel_size=voxel_size).batch(
        np.array([(0, frame) for frame in frames]), depth, (0,)
    )


def seconds(network: point_unet.PointUNet, points: PointBatch, rows: int) -> float:
    """Return how long forward and backward take with so many voxels at a time."""
    point_unet.ROWS = rows
    began = time.perf_counter()
    network(points.voxels, points.colors, points.view).square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(1)
    rows = point_unet.ROWS
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        (scene, *_) = open_scenes([prepared_or_room(sys.argv[1:], Path(folder))])
        for width, voxel_size in CASES:
            points = points_of(scene, voxel_size)
            network = point_unet.PointUNet(width=width)
            pairs = [
                (seconds(network, points, ALL), seconds(network, points, rows))
                for _ in range(STEPS)
            ][1:]
            at_once, blocks = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(
                f"width {width:5.3f}, voxels of {100 * voxel_size:2.0f} cm ({len(points.voxels)}): "
                f"{at_once:6.2f} s at once, {blocks:6.2f} s by {rows}, {ratio:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
