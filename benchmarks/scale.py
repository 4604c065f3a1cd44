"""Preparing many scans: engines under fire, shards, a second run, and what two workers give.

    python benchmarks/scale.py [SCENES [local dask ray shards workers ...]]

SCENES small scans (1,000), 3 % of them broken, two workers, killed at random. Claims: what is
not broken is prepared, unless its workers died twice, and the report is exact; a run that finds all
finished takes under 5 s; two workers reach 0.9 of two runs side by side with one worker each.
"""

import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inputs import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from plane_scans import write_plane_scans
from under_fire import prepare, prepare_under_fire, unlucky_of

PARTS = ("local", "dask", "ray", "shards", "workers")
SECONDS_BETWEEN_KILLS = 2
RUNS = 5  # of what is timed; the least counts


def under_fire(scans: Path, out: Path, part: str, kills: int) -> int:
    """Prepare while workers, or whole shards, are killed; return how many were."""
    if part != "shards":
        return prepare_under_fire(scans, out, part, kills, SECONDS_BETWEEN_KILLS)[2]
    with ThreadPoolExecutor() as threads:
        return sum(threads.map(lambda n: killed_shard(scans, out, n, kills // 10), (1, 2)))


def killed_shard(scans: Path, out: Path, number: int, kills: int) -> int:
    """Run one of two shards, kill it and start it again; return how often it was killed."""
    moments, killed = random.Random(number), 0
    while True:
        process = prepare(scans, out, "--shard", f"{number}/2")
        if killed < kills:
            time.sleep(moments.uniform(1, 10 * SECONDS_BETWEEN_KILLS))
            process.kill()
        process.communicate()
        if process.returncode >= 0:
            return killed
        killed += 1


def seconds_of(*processes) -> float:
    """Wait for processes that were just started; return how long that took."""
    began = time.perf_counter()
    for process in processes:
        process.communicate()
    return time.perf_counter() - began


def processor_seconds() -> float:
    """Return what all processes that were waited for have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_engine(folder: Path, scans: Path, part: str, count: int, broken: set[int]) -> None:
    out, began = folder / part, time.perf_counter()
    kills = under_fire(scans, out, part, kills=count // 50)
    seconds = time.perf_counter() - began
    unlucky = set() if part == "shards" else unlucky_of(out, count, broken)
    seconds_of(prepare(scans, out))
    assert unlucky_of(out, count, broken) == set()
    used = processor_seconds()
    again = min(seconds_of(prepare(scans, out)) for _ in range(RUNS))
    used = (processor_seconds() - used) / RUNS
    print(
        f"{part}: {seconds:.0f} s, {kills} killed, {len(unlucky)} of {count} scans hit twice; "
        f"all finished but {len(broken)} broken: {again:.1f} s ({used:.1f} s of a processor)",
        flush=True,
    )


def compare_workers(folder: Path, scans: Path) -> None:
    """Compare two workers with two runs of one worker each, side by side."""
    together, apart = [], []
    for run in range(RUNS):
        outs = [folder / f"{run}-{name}" for name in ("both", "first", "second")]
        together.append(seconds_of(prepare(scans, outs[0], "--workers", "2")))
        shards = [prepare(scans, outs[n], "--shard", f"{n}/2") for n in (1, 2)]
        apart.append(seconds_of(*shards))
    print(
        f"two workers {min(together):.1f} s, two runs side by side {min(apart):.1f} s: "
        f"{min(apart) / min(together):.2f} of their rate"
    )


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 1000
    broken = set(random.Random(0).sample(range(count), count * 3 // 100))
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = write_plane_scans(folder / "scans", count, broken)
        for part in sys.argv[2:] or PARTS:
            if part == "workers":
                compare_workers(folder, write_plane_scans(folder / "few/scans", min(count, 200)))
            else:
                measure_engine(folder, scans, part, count, broken)


if __name__ == "__main__":
    main()
