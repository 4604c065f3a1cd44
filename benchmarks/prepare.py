"""Preparing a scan: core-seconds a frame, by part; peak memory; size of a stored frame.

    python benchmarks/prepare.py [SCAN]
    python benchmarks/prepare.py --large

Without SCAN, a made-up room of 40 frames; --large: a hall of 250,000 vertices and 300 frames, seen
without a mesh too. Claims, at 240x320: at most 0.3 core-seconds a frame all in, under 1.5 GB (the
hall under 2 GB), pair mining under 2 % of it and residuals of pairs under 10 %, at most 120 kB a
frame without surface and layers.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hall import write_hall
from inputs import IMAGE_SIZE, machine, scan_or_room

from geoset.prepare.pairs import mine_pairs, surface_cells
from geoset.prepare.residual import depth_thumbnail, pair_residuals
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, look_up
from geoset.recipes import PrepareSettings

RUNS = 3


def measure(scan: Path, out: Path) -> dict:
    """Prepare `scan`; return CPU seconds (of all threads) by part, and the peak memory in MB."""
    parts: dict[str, float] = {}
    current, since = "opening", time.process_time()

    def note(part: str, done: int, total: int) -> None:
        nonlocal current, since
        now = time.process_time()
        parts[current] = parts.get(current, 0) + now - since
        current, since = part, now

    prepare_scene(scan, out, PrepareSettings(image_size=IMAGE_SIZE), note)
    note("end", 1, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    scene = PreparedScene(out / scan.name)
    return {
        "parts": parts,
        "peak_mb": peak,
        "mining": mining_seconds(scene),
        "residuals": residual_seconds(scene),
    }


def mining_seconds(scene: PreparedScene) -> float:
    """Return the CPU seconds from the cells that frames see to pairs."""
    cells = surface_cells(scene.vertices)
    seen = [np.unique(look_up(cells, scene.vertex_map(i))) for i in range(len(scene))]
    began = time.process_time()
    mine_pairs([cells_of_frame[cells_of_frame >= 0] for cells_of_frame in seen], 0.3)
    return time.process_time() - began


def residual_seconds(scene: PreparedScene) -> float:
    """Return the CPU seconds from depth images to residuals of all pairs."""
    seen = [
        (scene.depth(i), scene.camera(i), scene.world_from_camera(i)) for i in range(len(scene))
    ]
    began = time.process_time()
    pair_residuals([depth_thumbnail(*view) for view in seen], scene.pairs)
    return time.process_time() - began


def in_fresh_process(scan: Path, folder: Path, run: int) -> dict:
    command = [sys.executable, __file__, "--measure", str(scan), str(folder / f"out{run}")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def report(scan: Path, folder: Path) -> None:
    """Prepare `scan` some times into `folder`, and print what it takes."""
    in_fresh_process(scan, folder, 0)  # compiles, and fills the file cache
    runs = [in_fresh_process(scan, folder, run) for run in range(1, RUNS + 1)]
    best = min(runs, key=lambda run: sum(run["parts"].values()))
    scene = PreparedScene(folder / "out1" / scan.name)
    frames, total = len(scene), sum(best["parts"].values())
    print(
        f"{scan.name}: {frames} frames at {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]}, "
        f"{len(scene.vertices)} vertices, {scene.info['sets']} sets, {len(scene.pairs)} pairs"
    )
    print(f"{total:.1f} core-seconds, {total / frames:.3f} a frame (least of {RUNS} runs)")
    for part, seconds in best["parts"].items():
        print(f"  {part:14} {seconds:6.2f} s {seconds / total:6.1%}")
    for part in ("mining", "residuals"):
        print(f"pairs, {part}: {best[part]:.2f} s, {best[part] / total:.1%} of it")
    print(f"peak memory: {max(run['peak_mb'] for run in runs):.0f} MB")
    stored = sum(
        (scene.path / file).stat().st_size for file in ("frames.tar", "pairs.npz", "scene.json")
    )
    print(f"stored: {stored / frames / 1000:.1f} kB a frame without surface and layers")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(machine())
        if sys.argv[1:] == ["--large"]:
            hall = write_hall(folder / "hall")
            report(hall, folder / "with_mesh")
            (hall / "mesh.ply").unlink()
            report(hall, folder / "fused")
        else:
            report(scan_or_room(sys.argv[1:], folder).resolve(), folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
