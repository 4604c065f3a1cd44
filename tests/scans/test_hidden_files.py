"""macOS leaves a `._` file beside each that it copies to another disk or archives."""

import numpy as np
import pytest
import test_readers
from test_fuzz import read_all, write_files
from tiny_scans import CASES, template

from geoset import open_scan
from geoset.scans.decode import visible
from geoset.scans.detect import find_scans

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


@pytest.fixture(autouse=True)
def own_cameras(monkeypatch):
    """Undo what `template` does to the tests of readers."""
    for name in ("CAMERA", "DEPTH_CAMERA"):
        monkeypatch.setattr(test_readers, name, getattr(test_readers, name))


@pytest.mark.parametrize("case", CASES)
def test_they_change_nothing(case, tmp_path):
    files, scan = template(case)
    write_files(tmp_path / "plain", files)
    places = [name.rpartition("/") for name in files]
    hidden = {f"{folder}{slash}._{name}": APPLE_DOUBLE for folder, slash, name in places}
    write_files(tmp_path / "copied", {**files, **hidden})
    before, after = (open_scan(tmp_path / root / scan) for root in ("plain", "copied"))
    assert [frame.name for frame in after.frames] == [frame.name for frame in before.frames]
    assert (after.layout, after.rejected) == (before.layout, before.rejected)
    assert (after.mesh is None) == (before.mesh is None)
    for old, new in zip(before.frames, after.frames, strict=True):
        np.testing.assert_array_equal(new.world_from_camera, old.world_from_camera)
        assert list(new.read_labels) == list(old.read_labels)
        assert (new.read_mask is None) == (old.read_mask is None)
    assert read_all(tmp_path / "copied" / scan) == "whole"
    parent = (tmp_path / "copied" / scan).parent
    assert not [path for path in find_scans(parent).scans if path.name.startswith(".")]


def test_what_is_visible(tmp_path):
    for name in ("b.PNG", "a.png", "._a.png", ".DS_Store", "c.jpg", "png"):
        (tmp_path / name).touch()
    names = [path.name for path in visible(tmp_path, ".png", ".jpg")]
    assert names == ["a.png", "b.PNG", "c.jpg"]
    assert len(visible(tmp_path)) == 4
    assert visible(tmp_path / "nowhere") == []
