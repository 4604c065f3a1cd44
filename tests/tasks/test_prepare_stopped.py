"""Preparing that a full disk or kill -9 ends: nothing half-written is read, and it goes on."""

import itertools
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from two_rooms import OPTIONS, prepare_quietly, scenes_in

from geoset.errors import GeosetError
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from reference.box_room import POSES, write_box_room

COMMAND = [sys.executable, "-c", "from geoset.cli import main; main()", "prepare"]


@pytest.mark.parametrize(
    ("size", "written"), [(0, "frames.tar"), (20_000, "frames.tar"), (400_000, "surface.ply")]
)
def test_a_disk_that_fills_up(rooms, prepared_rooms, tmp_path, limit_file_size, size, written):
    limit_file_size(size)
    with pytest.raises(GeosetError) as error:
        prepare_quietly(rooms / "a", tmp_path)
    limit_file_size(resource.RLIM_INFINITY)
    assert str(error.value).startswith(f"{tmp_path / 'a' / written}: cannot be written (")
    assert "make room or choose another folder, then run the same command again" in str(error.value)
    assert not (tmp_path / f"a/{written}").exists()
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(GeosetError, match="holds no prepared scene"):
        PreparedScene(tmp_path / "a")
    prepare_quietly(rooms / "a", tmp_path)
    assert scenes_in(tmp_path / "a") == scenes_in(prepared_rooms / "a")


def assert_whole_or_absent(folder):
    """A scene can be read to its last pixel, or it does not exist."""
    if (folder / "scene.json").exists():
        scene = PreparedScene(folder)
        for i in range(len(scene)):
            assert scene.image(i).any() and scene.depth(i).any() and scene.set_map(i).max() > 0
        assert len(scene.pairs) == len(scene.overlap) and len(scene.faces)
    else:
        with pytest.raises(GeosetError, match="holds no prepared scene"):
            PreparedScene(folder)


class Killed(BaseException):
    """Ends a run as kill -9 does: what would clean up behind it does not."""


def test_killed_before_each_of_its_files(tmp_path, monkeypatch):
    settings = PrepareSettings(image_size=(96, 128))
    scan, out = write_box_room(tmp_path / "box", POSES[:2]), tmp_path / "out"
    prepare_scene(scan, tmp_path / "whole", settings)
    whole = scenes_in(tmp_path / "whole")
    for number in range(1, len(whole) + 1):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "replace", dying_replace(patch, number))
            prepare_scene(scan, out, settings)
        # The first three get their names together, the others one by one.
        assert len(list(out.rglob("*.part"))) == max(1, 4 - number)
        assert not (out / "box/scene.json").exists()
        assert_whole_or_absent(out / "box")
    prepare_scene(scan, out, settings)
    assert scenes_in(out) == whole


def dying_replace(patch, number):
    """Return a Path.replace that dies instead of giving the file of that number its name."""
    count, replace = itertools.count(1), Path.replace

    def replace_or_die(self, target):
        if next(count) == number:
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            raise Killed
        return replace(self, target)

    return replace_or_die


def wait_until_it_writes(out, process):
    deadline, before = time.monotonic() + 120, sorted(out.rglob("*"))
    while sorted(out.rglob("*")) == before and process.poll() is None:
        assert time.monotonic() < deadline, f"nothing is written to {out}"
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again(rooms, prepared_rooms, tmp_path, kills):
    """The command dies at random moments from its first write on."""
    moments = random.Random(kills)
    command = [*COMMAND, rooms, tmp_path, *OPTIONS]
    killed = 0
    for _ in range(kills):
        if all((tmp_path / name / "scene.json").is_file() for name in ("a", "b")):
            (tmp_path / "b" / "scene.json").unlink()  # so that there is something to kill
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        wait_until_it_writes(tmp_path, process)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        for name in ("a", "b"):
            assert_whole_or_absent(tmp_path / name)
    assert killed >= kills / 2
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert scenes_in(tmp_path) == scenes_in(prepared_rooms)
