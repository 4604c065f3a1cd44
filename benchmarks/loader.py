"""Batches of pairs: frames a second on one core, and what they cost by part.

    python benchmarks/loader.py [PREPARED]

Without PREPARED, a made-up room. Claim: at least 150 frames a second at 240x320 (colour, depth,
vertex map and sets of each), in one process with one thread; what the set loss and the Geo loss
look up in the loader comes on top and is given apart.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from inputs import machine, prepared_or_room

from geoset import PreparedScene
from geoset.data.pairs import PairBatches
from geoset.data.points import PointSampler
from geoset.losses import find_set_matches
from geoset.prepare.data_set import find_scenes
from geoset.prepare.scene import look_up

BATCH_PAIRS = 4
BATCHES = 25
ROUNDS = 5


def fastest(run: Callable[[], object]) -> float:
    """Return the least seconds of several rounds, after one that fills the file cache."""
    run()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = find_scenes([prepared_or_room(sys.argv[1:], Path(folder))])
        scenes = [PreparedScene(path) for path in paths]
        batches = PairBatches(scenes, BATCH_PAIRS, seed=0)
        print(machine())
        frames = 2 * BATCH_PAIRS * BATCHES
        seconds = fastest(lambda: [batches[step] for step in range(BATCHES)])
        of_sets = PairBatches(scenes, BATCH_PAIRS, seed=0, depth=False)
        without_depth = fastest(lambda: [of_sets[step] for step in range(BATCHES)])
        height, width = batches[0].images.shape[2:]
        print(
            f"{len(batches.pairs)} pairs at {height}x{width}, one thread, {BATCHES} batches of "
            f"{BATCH_PAIRS} pairs: {frames / seconds:.0f} frames/s (best of {ROUNDS}); without "
            f"depth, as a stage of sets alone, {seconds / without_depth:.2f} times as many"
        )

        scene = scenes[0]
        maps, labels = [scene.vertex_map(i) for i in range(len(scene))], scene.sets()
        parts = {
            "colour": scene.image,
            "depth": scene.depth,
            "vertex map": scene.vertex_map,
            "sets": lambda i: look_up(labels, maps[i]),
        }
        for name, read in parts.items() if scene.has_depth else ():
            each = fastest(lambda read=read: [read(i) for i in range(len(scene))]) / len(scene)
            print(f"  {name:10} {1e3 * each:.2f} ms a frame")
        print(f"  all        {1e3 * seconds / frames:.2f} ms a frame")
        measure_losses(scenes, [batches[step] for step in range(5)])


def measure_losses(scenes, batches) -> None:
    """Print what the losses look up for each frame."""
    _, _, height, width = batches[0].images.shape
    frames = 2 * BATCH_PAIRS * len(batches)
    parts = {
        "matches of sets": lambda batch: find_set_matches(
            batch.set_ids["geometric"], batch.view_pairs, (height // 2, width // 2)
        )
    }
    for matches in ("visible", "projection"):
        sampler = PointSampler(scenes, matches)
        parts[f"points, {matches}"] = lambda batch, sampler=sampler: sampler.batch(
            batch.views.numpy(), batch.depth.numpy(), (0,)
        )
    for name, look_up_in in parts.items():
        each = fastest(lambda f=look_up_in: [f(batch) for batch in batches]) / frames
        print(f"  {name:18} {1e3 * each:.2f} ms a frame")


if __name__ == "__main__":
    main()
