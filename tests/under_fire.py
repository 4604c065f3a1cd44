"""`geoset prepare` on many small scans while its workers are killed at random."""

import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from plane_scans import OPTIONS

WORKER = "geoset.tasks.isolated"  # is in the command line of every process that does a scene
COMMAND = [sys.executable, "-m", "geoset", "prepare"]


def prepare(scans, out, *options):
    """Start the command line; return the process."""
    command = [*COMMAND, scans, out, *OPTIONS, *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def prepare_under_fire(scans, out, engine, kills, seconds_between, seed=0):
    """Prepare with two workers; from the first scene on kill one at random, `kills` times in all.

    Returns exit code, what was printed, and the number of kills.
    """
    process = prepare(scans, out, "--engine", engine, "--workers", "2")
    with ThreadPoolExecutor() as threads:
        printed = threads.submit(process.communicate)
        while process.poll() is None and not any(out.glob("*/scene.json")):
            time.sleep(0.1)
        moments, killed = random.Random(seed), 0
        while process.poll() is None and killed < kills:
            killed += _kill_one(psutil.Process(process.pid), moments)
            time.sleep(moments.uniform(0, 2 * seconds_between))
        _, text = printed.result()
        return process.returncode, text, killed


def _kill_one(parent, moments):
    try:
        workers = [p for p in parent.children(recursive=True) if WORKER in _command(p)]
        moments.choice(workers).kill()
    except (psutil.NoSuchProcess, IndexError):  # it ended before it was hit, or there is none
        return False
    return True


def _command(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def unlucky_of(out, count, broken):
    """Check the report of `count` scans against what is on disk; return scenes that died twice.

    broken: numbers of the scans that cannot be prepared
    """
    report = json.loads((out / "report.json").read_text())
    scenes = {entry["scene"]: entry for entry in report["scenes"]}
    assert list(scenes) == [f"s{number:04d}" for number in range(count)]
    failed = {name: entry["error"] for name, entry in scenes.items() if entry["status"] == "failed"}
    unlucky = {name for name, error in failed.items() if "its worker died twice" in error}
    assert set(failed) - unlucky == {f"s{number:04d}" for number in broken}
    assert all("no colour intrinsics" in failed[name] for name in set(failed) - unlucky)
    assert {file.stem for file in (out / "failed").glob("*")} == set(failed)
    assert {file.parent.name for file in out.glob("*/scene.json")} == set(scenes) - set(failed)
    assert report["counts"].get("failed", 0) == len(failed) == sum(report["failures"].values())
    return unlucky
