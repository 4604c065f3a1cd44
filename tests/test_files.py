"""Files appear whole or not at all, and a full disk is reported with the way out."""

import errno
import os
from pathlib import Path

import pytest

from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write, remove_partial


def listing(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(("data", "stored"), [(b"\x00\xff", b"\x00\xff"), ("é\n", b"\xc3\xa9\n")])
def test_writes_bytes_and_text(tmp_path, data, stored):
    atomic_write(tmp_path / "new/folder/file", data)
    assert (tmp_path / "new/folder/file").read_bytes() == stored
    assert listing(tmp_path / "new") == ["file", "folder"]


def test_the_name_is_taken_only_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "before"
        assert temporary.parent == tmp_path
    assert path.read_text() == "half"
    assert listing(tmp_path) == ["file"]


def test_the_group_may_read_what_was_written(tmp_path):
    atomic_write(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_writer_passes_and_leaves_nothing(tmp_path, raised):
    (tmp_path / "file").write_text("before")
    with pytest.raises(raised), atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise raised
    assert listing(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "before"


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "call"),
    [(os, "fsync"), (Path, "replace"), (Path, "write_bytes"), (Path, "chmod"), (Path, "mkdir")],
)
@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk(tmp_path, monkeypatch, owner, call, existed):
    path = tmp_path / "file"
    if existed:
        path.write_text("before")
    monkeypatch.setattr(owner, call, no_space)
    with pytest.raises(GeosetError) as error:
        atomic_write(path, b"new")
    monkeypatch.undo()
    assert str(error.value) == (
        f"{path}: cannot be written (No space left on device). What was there before is "
        "unchanged; make room or choose another folder, then run the same command again."
    )
    assert listing(tmp_path) == ["file"] * existed
    assert not existed or path.read_text() == "before"


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("before")
    with pytest.raises(GeosetError, match=r"below: cannot be written \((File exists|Not a dir)"):
        atomic_write(tmp_path / "file/below", b"")


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    atomic_write(tmp_path / "file", b"whole")
    with atomic_path(tmp_path / "other") as temporary:
        left = temporary.with_name(temporary.name.replace("other", "file"))
        left.write_text("half")  # named as a killed writer leaves it
    remove_partial(tmp_path)
    assert listing(tmp_path) == ["file", "other"]
    remove_partial(tmp_path / "not there")


def test_remove_partial_spares_what_is_being_written(tmp_path):
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        remove_partial(tmp_path)
        assert temporary.exists()
    assert listing(tmp_path) == ["file"]
