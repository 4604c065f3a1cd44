"""Nearest-feature matches beside a plain loop over them.

    python benchmarks/correspondence.py [PREPARED_SCENES]

On a prepared scene, or a made-up room, of 240x320: the time to sample the true matches of a pair,
and to find them among the features of a ResNet-18 network, as a ratio of a loop that compares one
query after the other in numpy. Claims: the same pixels as the
loop, at least 5 times as fast, with 64 MB of similarities at a time however many there are.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from inputs import machine, prepared_or_room

from geoset import PreparedScene
from geoset.evaluation.correspondence import BLOCK, features_at, nearest_pixels
from geoset.prepare.data_set import find_scenes
from geoset.tasks.correspondence import true_matches

CHANNELS, STRIDE, MEGABYTE = 32, 2, 2**20


def least_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the least time of several runs, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def looped(queries: np.ndarray, features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Find the nearest cell of one query after the other."""
    _, h, w = features.shape
    found = []
    for query in queries:
        dots = (features * query[:, None, None]).sum(axis=0)
        similarity = dots / np.linalg.norm(features, axis=0) / np.linalg.norm(query)
        y, x = divmod(int(similarity.argmax()), w)
        found.append(((x + 0.5) * size[1] / w, (y + 0.5) * size[0] / h))
    return np.array(found)


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = find_scenes([prepared_or_room(sys.argv[1:], Path(folder))])[0]
        scene = PreparedScene(path)
        start = time.perf_counter()
        matches = true_matches(scene, "every:2")
        seconds = time.perf_counter() - start
    pairs, camera = len(matches.frames), scene.camera(0)
    print(
        f"true matches: {len(matches.source)} of {pairs} pairs, {1e3 * seconds / pairs:.0f} ms each"
    )
    size = camera.height, camera.width
    generator = torch.Generator().manual_seed(0)
    shape = CHANNELS, camera.height // STRIDE, camera.width // STRIDE
    first, second = (torch.randn(shape, generator=generator) for _ in range(2))
    queries = features_at(first, matches.source[matches.pair == 0], size)

    def find() -> torch.Tensor:
        return nearest_pixels(queries, second, size)

    few = queries[:50].numpy()
    assert np.allclose(find()[:50], looped(few, second.numpy(), size))
    ours = least_seconds(find) / len(queries)
    loop = least_seconds(lambda: looped(few, second.numpy(), size), 2) / len(few)
    print(
        f"a match among {shape[1] * shape[2]} cells: {1e6 * ours:.0f} us; ratio {loop / ours:.0f}"
    )
    print(f"similarities held at a time: {4 * BLOCK / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    main()
