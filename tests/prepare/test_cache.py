"""The cache keeps files under their checksum, within its limit, whoever asks at the same time."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from geoset.errors import GeosetError
from geoset.prepare import cache

CHILD = """
import hashlib, os, pathlib, signal, sys, time
from geoset.prepare.cache import fetch
data = b"x" * 40

def download(path):
    path.write_bytes(data[:20])
    with open(sys.argv[1], "a") as log:
        log.write("begun\\n")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    path.write_bytes(data)

entry = {"bytes": 40, "sha256": hashlib.sha256(data).hexdigest()}
assert fetch(entry, ".tar", download).read_bytes() == data
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache of 100 bytes."""
    monkeypatch.setenv("GEOSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEOSET_CACHE_GB", "1e-7")
    return tmp_path / "cache"


def content(number, size=40):
    return bytes([number]) * size


def get(number, size=40, suffix=".tar"):
    """Fetch file `number`; None if there is no room."""
    data = content(number, size)
    entry = {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()}
    return cache.fetch(entry, suffix, lambda path: path.write_bytes(data))


def files(folder):
    return [path for path in folder.iterdir() if path.is_file()]


def unused_for(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def forbidden(path):
    raise AssertionError(f"{path} is downloaded")


def test_downloaded_once(folder):
    path = get(1)
    sha256 = hashlib.sha256(content(1)).hexdigest()
    assert path == folder / f"{sha256}-40.tar" and path.read_bytes() == content(1)
    assert cache.fetch({"bytes": 40, "sha256": sha256}, ".tar", forbidden) == path
    assert files(folder) == [path]


def test_what_is_in_use_stays(folder):
    first, second = get(1), get(2)
    assert get(3) is None  # 120 bytes would lie there
    assert get(4, size=20)  # 100
    assert first.exists() and second.exists()


def test_what_was_used_longest_ago_goes_first(folder):
    first, second = get(1), get(2)
    unused_for(first, 3700)
    unused_for(second, 7300)
    third = get(3)
    assert third.read_bytes() == content(3) and first.exists() and not second.exists()
    assert sum(path.stat().st_size for path in files(folder)) == 80
    assert {path.name for path in (folder / "locks").iterdir()} >= {first.name, third.name}
    assert second.name not in {path.name for path in (folder / "locks").iterdir()}


def test_using_a_file_makes_it_young(folder):
    first, second = get(1), get(2)
    unused_for(first, 7300)
    unused_for(second, 3700)
    get(1)
    get(3)
    assert first.exists() and not second.exists()


def test_nothing_goes_if_that_makes_no_room(folder):
    first = get(1)
    unused_for(first, 7300)
    assert get(2, size=101) is None and first.exists()


def test_no_limit_is_taken_up_when_the_disk_is_full(folder, monkeypatch):
    old = get(1)
    unused_for(old, 7300)
    free = SimpleNamespace(free=cache.SPARE_BYTES + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert get(2, size=60) is None and old.exists()
    assert get(3, size=50) and not old.exists()


def test_zero_keeps_nothing(folder, monkeypatch):
    monkeypatch.setenv("GEOSET_CACHE_GB", "0")
    assert get(1) is None and files(folder) == []


@pytest.mark.parametrize("value", ["-1", "much", "nan", "inf"])
def test_a_limit_that_is_none(folder, monkeypatch, value):
    monkeypatch.setenv("GEOSET_CACHE_GB", value)
    expected = f"GEOSET_CACHE_GB is '{value}', expected a number, 0 or more"
    with pytest.raises(GeosetError, match=re.escape(expected)):
        get(1)


def test_a_folder_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GEOSET_CACHE", str(tmp_path / "file"))
    expected = rf"{tmp_path}/file: cannot be used to keep files in \(.+\)\. Let GEOSET_CACHE name"
    with pytest.raises(GeosetError, match=expected):
        get(1)


@pytest.mark.parametrize("sha256", ["../../escaped", "0" * 63, "", 5])
def test_a_checksum_that_is_none(folder, sha256):
    with pytest.raises(GeosetError, match="is no SHA-256 and size; the scene's files are damaged"):
        cache.fetch({"bytes": 40, "sha256": sha256}, ".tar", forbidden)
    assert not folder.exists()


def test_a_download_that_fails_leaves_nothing(folder):
    def fail(path):
        path.write_bytes(b"half")
        raise GeosetError("the network is down")

    entry = {"bytes": 40, "sha256": hashlib.sha256(content(1)).hexdigest()}
    with pytest.raises(GeosetError, match="the network is down"):
        cache.fetch(entry, ".tar", fail)
    assert files(folder) == []
    assert get(1)


def child(log, fate):
    return subprocess.Popen([sys.executable, "-c", CHILD, log, fate], stderr=subprocess.PIPE)


def test_a_killed_download_leaves_nothing_that_counts(folder, tmp_path):
    assert child(tmp_path / "log", "die").wait() == -9
    assert [path.suffix for path in files(folder)] == [".part"]
    assert get(1, size=100).read_bytes() == content(1, 100)  # which is all the room there is
    assert len(files(folder)) == 1


def test_of_two_processes_one_downloads(folder, tmp_path):
    both = [child(tmp_path / "log", "live") for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0], [each.stderr.read() for each in both]
    assert (tmp_path / "log").read_text() == "begun\n"


def test_the_limit_holds_at_every_moment(folder):
    stop, largest = threading.Event(), []

    def size_of(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:  # gone since it was listed
            return 0

    def watch():
        while not stop.is_set():
            largest.append(sum(size_of(path) for path in folder.iterdir() if path.name != "locks"))

    def use(number):
        path = get(number, size=30)
        if path:
            unused_for(path, 4000)
        return path is not None

    folder.mkdir()
    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        kept = list(pool.map(use, [number % 9 for number in range(120)]))
    stop.set()
    watcher.join()
    assert sum(kept) > 20 and max(largest) <= 100
