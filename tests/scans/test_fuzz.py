"""Damaged scans: whatever files hold, only a GeosetError comes of it, soon, in little memory."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_scans import CASES, template

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.camera import why_not_rigid
from geoset.scans import folders
from scan_formats.mutations import DIRECTORY, MUTATIONS, PIPE, mutate

SECONDS, MEGABYTES = 10.0, 512  # an input may take


def write_files(root, files):
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is DIRECTORY:
            path.mkdir()
        elif content is PIPE:
            os.mkfifo(path)
        else:
            path.write_bytes(content)


def read_all(path):
    """Open a scan, check all that it offers, and return what became of it."""
    try:
        scan = open_scan(path)
    except GeosetError:
        return "refused"
    whole = not scan.rejected
    names = [frame.name for frame in scan.frames]
    assert len(set(names)) == len(names)
    for frame in scan.frames:
        assert why_not_rigid(frame.world_from_camera) is None
        assert np.isfinite(frame.camera.K).all() and np.isfinite(frame.depth_camera.K).all()
        for check in (check_image, check_depth, check_masked, check_labels):
            whole &= is_read(partial(check, frame))
    whole &= is_read(lambda: check_surface(scan))
    return "whole" if whole else "partly"


def is_read(check):
    try:
        check()
    except GeosetError:
        return False
    return True


def check_image(frame):
    image = frame.image()
    assert image.dtype == np.uint8
    assert image.shape == (frame.camera.height, frame.camera.width, 3)


def check_depth(frame):
    if frame.read_depth is None:
        return
    depth = frame.depth()
    assert depth.dtype == np.float32
    assert depth.shape == (frame.depth_camera.height, frame.depth_camera.width)
    assert np.isfinite(depth).all() and (depth >= 0).all()


def check_masked(frame):
    masked = frame.masked(6, 8)
    assert masked.dtype == bool and masked.shape == (6, 8)


def check_labels(frame):
    for layer in frame.read_labels:
        labels = frame.label(layer)
        assert labels.ndim == 2 and labels.dtype.kind in "iu"


def check_surface(scan):
    for labels in scan.surface_labels.values():
        labels = labels.read()
        assert labels.ndim == 1 and labels.dtype.kind == "i"
    if scan.mesh is not None:
        assert scan.mesh.vertices.shape[1] == scan.mesh.faces.shape[1] == 3


class TooSlow(BaseException):
    """No Exception, so that nothing on the way takes it for an error of its own."""


@contextmanager
def time_limit(seconds):
    def stop(signum, frame):
        raise TooSlow(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(path, seconds=SECONDS):
    """Read a scan; return what became of it, and the text of an error that must not be."""
    try:
        with time_limit(seconds):
            return read_all(path), ""
    except (Exception, TooSlow):
        return "failed", traceback.format_exc()


@dataclass
class Outcome:
    counts: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def damage_and_read(case, seeds):
    """Read a scan damaged in many ways, one a seed, each in a folder of its own."""
    outcome, (files, scan) = Outcome(), template(case)
    with tempfile.TemporaryDirectory() as folder:
        for seed in (None, *seeds):  # None: the whole scan, after which memory is counted
            root, done = Path(folder) / str(seed), ""
            damaged = files
            if seed is not None:
                damaged, done = mutate(files, np.random.default_rng([*case.encode(), seed]))
            write_files(root, damaged)
            result, error = attempt(root / scan)
            shutil.rmtree(root)
            if seed is None:
                assert result == "whole", f"{case}: {error or result}"
                before = memory()
                continue
            outcome.counts[result] += 1
            if memory() > before + MEGABYTES:
                error, before = f"{error}\n{memory() - before:.0f} MB", memory()
            if error:
                outcome.failures.append(f"{case}, seed {seed}: {done}\n{error}")
    return case, outcome


def fuzz(seeds_a_case, seeds_a_job, workers):
    """Return the outcome by case, read in `workers` processes."""
    jobs = [
        (case, range(start, min(start + seeds_a_job, seeds_a_case)))
        for start in range(0, seeds_a_case, seeds_a_job)
        for case in CASES
    ]
    outcomes = {case: Outcome() for case in CASES}
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the memory of this process
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        for case, outcome in pool.map(damage_and_read, *zip(*jobs, strict=True)):
            outcomes[case].counts += outcome.counts
            outcomes[case].failures += outcome.failures
    return outcomes


def check_outcomes(outcomes, inputs):
    print(f"\n{'':22}{'whole':>8}{'partly':>8}{'refused':>8}{'failed':>8}")
    for case, outcome in outcomes.items():
        kinds = (outcome.counts[kind] for kind in ("whole", "partly", "refused", "failed"))
        print(f"{case:22}" + "".join(f"{count:8}" for count in kinds))
    failures = [text for outcome in outcomes.values() for text in outcome.failures]
    alike = {tuple(text.splitlines()[-4:]): text for text in failures}  # one of each kind
    assert not failures, f"{len(failures)} failures, such as\n" + "\n".join(alike.values())
    total = sum((outcome.counts for outcome in outcomes.values()), Counter())
    assert total.total() >= inputs
    assert min(total[kind] for kind in ("whole", "partly", "refused")) > 0.05 * inputs


def test_hundreds_of_damaged_scans():
    check_outcomes(fuzz(16, 16, workers=1), 300)


@pytest.mark.slow
def test_twenty_thousand_damaged_scans():
    check_outcomes(fuzz(1100, 55, workers=os.cpu_count()), 20_000)


class TestTheTestItself:
    def test_another_error_is_found(self, tmp_path, monkeypatch):
        (tmp_path / "color").mkdir()
        (tmp_path / "pose").mkdir()
        assert attempt(tmp_path)[0] == "refused"
        monkeypatch.setattr(folders, "read", lambda path: {}["K"])
        result, error = attempt(tmp_path)
        assert result == "failed" and "KeyError: 'K'" in error

    def test_a_hang_is_found(self, tmp_path, monkeypatch):
        (tmp_path / "color").mkdir()
        (tmp_path / "pose").mkdir()
        os.mkfifo(tmp_path / "pipe")
        monkeypatch.setattr(folders, "read", lambda path: (path / "pipe").read_bytes())
        result, error = attempt(tmp_path, seconds=0.1)
        assert result == "failed" and "TooSlow: still at it after 0.1 s" in error

    def test_every_mutation_is_used(self):
        files = {"a.png": b"\x89PNG" + bytes(40), "b.txt": b"1 2\n3 4\n"}
        done = [mutate(files, np.random.default_rng(seed))[1] for seed in range(300)]
        used = {part.split()[0] for text in done for part in text.split(", ")}
        assert used == {mutation.__name__ for mutation in MUTATIONS}
