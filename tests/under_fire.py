"""`geoset prepare` on many small scans while its workers are killed at random."""

import json
import random
import subprocess
import sys
import threading
import time

import psutil

from plane_scans import OPTIONS

# What the command line, or the title, of an engine's worker processes says.
WORKERS = {"local": "geoset.tasks.isolated", "dask": "spawn_main", "ray": "ray::_do"}
COMMAND = [sys.executable, "-m", "geoset", "prepare"]


def prepare(scans, out, *options):
    """Start the command line; return the process."""
    command = [*COMMAND, scans, out, *OPTIONS, *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def prepare_under_fire(scans, out, engine, kills, seconds_between, seed=0):
    """Prepare with two workers, kill one at random `kills` times; return exit code, text, kills."""
    process = prepare(scans, out, "--engine", engine, "--workers", "2")
    shots = []
    arguments = (process, WORKERS[engine], kills, seconds_between, random.Random(seed), shots)
    shooter = threading.Thread(target=_shoot, args=arguments)
    shooter.start()
    _, text = process.communicate()
    shooter.join()
    return process.returncode, text, len(shots)


def _shoot(process, title, kills, seconds_between, moments, shots):
    parent = psutil.Process(process.pid)
    while process.poll() is None and len(shots) < kills:
        time.sleep(moments.uniform(0, 2 * seconds_between))
        try:
            workers = [p for p in parent.children(recursive=True) if title in _title(p)]
            if workers:
                moments.choice(workers).kill()
                shots.append(time.monotonic())
        except psutil.NoSuchProcess:  # it ended before it was hit
            continue


def _title(process):
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
