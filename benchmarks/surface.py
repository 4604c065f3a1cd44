"""Working surface, sets and vertex map of the coarsest and of a very fine mesh of a room.

    python benchmarks/surface.py

A box of 8 vertices, and a wavy one of 5 million, 5 mm apart; each in a process of its own. Prints
seconds by part, the peak memory of the process, and what came out.
"""

import resource
import subprocess
import sys
import time

import numpy as np
from inputs import IMAGE_SIZE, machine

from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.oversegment import oversegment
from geoset.geometry.raycast import Raycaster
from geoset.prepare.surface import working_surface

SIZE = np.array([5.0, 4.0, 2.5])  # metres
VERTICES = 5_000_000
WAVE = 0.02, 0.8  # metres, height and length of the waves of walls
RUNS = 3


def box() -> TriangleMesh:
    """Return a room of 8 vertices."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * SIZE
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[q[i] for i in corner] for q in quads for corner in ((0, 1, 2), (0, 2, 3))]
    return TriangleMesh(corners.astype(np.float32), np.array(faces, dtype=np.int32))


def wavy_room() -> TriangleMesh:
    """Return the same room of about `VERTICES` vertices, its walls in waves."""
    area = 2 * sum(SIZE[a] * SIZE[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    spacing = np.sqrt(area / VERTICES)
    vertices, faces, count = [], [], 0
    for axis in range(3):
        a, b = (k for k in range(3) if k != axis)
        for side in (0, SIZE[axis]):
            rows, columns = (round(SIZE[k] / spacing) + 1 for k in (a, b))
            u, v = np.meshgrid(
                np.linspace(0, SIZE[a], rows), np.linspace(0, SIZE[b], columns), indexing="ij"
            )
            wall = np.empty((rows, columns, 3), dtype=np.float32)
            wall[..., a], wall[..., b] = u, v
            # Whole waves, so that walls meet.
            turns_u, turns_v = (2 * np.pi * round(SIZE[k] / WAVE[1]) / SIZE[k] for k in (a, b))
            wall[..., axis] = side + WAVE[0] * np.sin(turns_u * u) * np.sin(turns_v * v)
            corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
            lower = np.stack([corner, corner + columns, corner + 1], axis=1)
            upper = np.stack([corner + 1, corner + columns, corner + columns + 1], axis=1)
            vertices.append(wall.reshape(-1, 3))
            faces.append((count + np.concatenate([lower, upper])).astype(np.int32))
            count += rows * columns
    return TriangleMesh(np.concatenate(vertices), np.concatenate(faces))


def run(mesh: TriangleMesh) -> tuple[dict[str, float], str]:
    """Return the seconds of each part, and what came out."""
    seconds, began = {}, time.perf_counter()

    def note(part: str) -> None:
        nonlocal began
        seconds[part] = time.perf_counter() - began
        began = time.perf_counter()

    surface = working_surface(mesh)
    note("surface")
    labels = oversegment(surface.vertices, surface.faces)
    note("sets")
    raycaster = Raycaster(TriangleMesh(surface.vertices, surface.faces))
    note("ray caster")
    height, width = IMAGE_SIZE
    camera = Camera(
        np.array([[288.0, 0, width / 2], [0, 288, height / 2], [0, 0, 1]]), width, height
    )
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # along x, z up
    pose[:3, 3] = 0.2 * SIZE
    pose[:3, 3] += 0.3
    seen, _ = raycaster.cast(camera, pose)
    note("vertex map")
    return seconds, (
        f"{len(surface.vertices)} vertices, {labels.max() + 1} sets; one view sees a vertex in "
        f"{(seen >= 0).mean():.1%} of its pixels, {len(np.unique(labels[seen[seen >= 0]]))} sets"
    )


def main(which: str) -> None:
    run(box())  # loads what numba has compiled
    mesh = box() if which == "box" else wavy_room()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = [run(mesh) for _ in range(RUNS)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    least = {part: min(seconds[part] for seconds, _ in found) for part in found[0][0]}
    print(f"{which}, {len(mesh.vertices)} vertices, {len(mesh.faces)} faces -> {found[0][1]}")
    print("  " + ", ".join(f"{part} {seconds:.3f} s" for part, seconds in least.items()))
    print(
        f"  {sum(least.values()):.2f} s in all (least of {RUNS} runs); peak memory {peak:.0f} MB, "
        f"{before:.0f} MB before, with the mesh"
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        print(machine(), flush=True)
        for which in ("box", "wavy"):
            subprocess.run([sys.executable, __file__, which], check=True)
