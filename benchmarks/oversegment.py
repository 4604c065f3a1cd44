"""Over-segmentation: time on a ScanNet-sized mesh, time and memory on one of 5M vertices.

Run: python benchmarks/oversegment.py
"""

import resource
import subprocess
import sys
import time

import numpy as np

from geoset.geometry import oversegment as module

RUNS = 9


def folded_sheet(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make a rough grid of 3 cm cells with steps and folds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * np.float32(0.03)
    z = 0.3 * np.floor(x / 0.9) % 0.9 + 0.4 * np.abs((y % 1.6) - 0.8)
    vertices = np.stack([x, y, z], axis=-1, dtype=np.float32, casting="same_kind").reshape(-1, 3)
    vertices += rng.normal(0, 0.001, vertices.shape).astype(np.float32)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return vertices, np.stack([lower, upper], axis=1).reshape(-1, 3).astype(np.int32)


def fastest(function, *arguments) -> float:
    """Return the least time of several calls, in ms."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def scan_sized() -> None:
    vertices, faces = folded_sheet(250, 320)
    labels = module.oversegment(vertices, faces)
    total = fastest(module.oversegment, vertices, faces)
    weights = module.edge_weights(vertices, faces, module.vertex_normals(vertices, faces))
    radix = fastest(lambda: module.argsort_keys(module.sortable_keys(weights.copy())))
    numpy_sort = fastest(lambda: np.argsort(module.sortable_keys(weights.copy()), kind="stable"))
    print(f"{len(vertices)} vertices, {len(faces)} faces, {labels.max() + 1} sets: {total:.1f} ms")
    print(
        f"sorting {len(weights)} keys: {radix:.1f} ms, "
        f"numpy's stable argsort {numpy_sort:.1f} ms, {numpy_sort / radix:.1f} times as long"
    )


def large() -> None:
    vertices, faces = folded_sheet(2237, 2237)
    start = time.perf_counter()
    labels = module.oversegment(vertices, faces)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{len(vertices)} vertices, {len(faces)} faces, {labels.max() + 1} sets: {seconds:.1f} s, "
        f"peak memory of the process {peak / 2**20:.2f} GiB"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        large()
    else:
        scan_sized()
        subprocess.run([sys.executable, __file__, "large"], check=True)
