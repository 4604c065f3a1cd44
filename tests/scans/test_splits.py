import re

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.scans.detect import find_scans
from geoset.scans.splits import read_list
from scan_folders import write_folder_scan

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
SCENES = ("scene0000_00", "scene0000_01", "scene0001_00", "scene0707_00")
FRAME = ([np.full((30, 40, 3), 9, np.uint8)], [np.full((30, 40), 1.5)], [np.eye(4)])


@pytest.fixture
def scans(tmp_path):
    """Four scenes; no lists yet."""
    for name in SCENES:
        write_folder_scan(tmp_path / "data/scans" / name, *FRAME, K)
    return tmp_path / "data/scans"


def write_lists(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scannetv2_train.txt").write_text("scene0000_01\nscene0000_00\nscene0042_00\n")
    (folder / "scannetv2_val.txt").write_text("scene0001_00\r\n")
    (folder / "scannetv2_test.txt").write_text("\nscene0707_00")


def names(found):
    return [path.name for path in found.scans]


@pytest.mark.parametrize("place", [".", "..", "Tasks/Benchmark", "../Tasks/Benchmark"])
def test_training_scenes_unless_asked(scans, place):
    write_lists(scans / place)
    found = find_scans(scans)
    assert names(found) == ["scene0000_00", "scene0000_01"]
    (note,) = found.notes
    assert re.fullmatch(
        r"2 of 4 scans are left out, not being on .*scannetv2_train.txt \(--split all takes all\)",
        note,
    )
    assert names(find_scans(scans, "val")) == ["scene0001_00"]
    assert names(find_scans(scans, "test")) == ["scene0707_00"]
    everything = find_scans(scans, "all")
    assert (names(everything), everything.notes) == (list(SCENES), [])


def test_without_lists_all_are_taken_and_that_is_said(scans):
    found = find_scans(scans)
    assert names(found) == list(SCENES)
    assert found.notes == [
        f"no scannetv2_train.txt in {scans}, beside it or in Tasks/Benchmark there: all 4 scenes "
        "of ScanNet are used, those for validation too if they are here"
    ]
    with pytest.raises(GeosetError, match=r"no scannetv2_val.txt in it, beside it or in .*lists"):
        find_scans(scans, "val")


def test_other_scans_are_no_business_of_scannet_lists(scans):
    write_lists(scans)
    for name in ("kitchen", "scene0707_00_smaller"):
        write_folder_scan(scans / name, *FRAME, K)
    (scans / "Tasks").mkdir()
    found = find_scans(scans)
    mine = ["kitchen", "scene0707_00_smaller"]
    assert names(found) == [mine[0], "scene0000_00", "scene0000_01", mine[1]]
    assert found.others == [scans / "Tasks"]
    assert names(find_scans(scans, "val")) == ["scene0001_00"]
    for name in SCENES:
        (scans / name).rename(scans / f"my_{name}")
    assert find_scans(scans).notes == []


def test_a_list_of_ones_own_counts_for_all(scans, tmp_path):
    write_lists(scans)
    write_folder_scan(scans / "kitchen", *FRAME, K)
    mine = tmp_path / "mine.txt"
    mine.write_text("scene0707_00\nkitchen\nkitchen\n")
    for split in ("train", "all"):
        found = find_scans(scans, split, mine)
        assert names(found) == ["kitchen", "scene0707_00"]
        assert found.notes == [f"3 of 5 scans are left out, not being on {mine}"]
    mine.write_text("bathroom\n")
    text = f"{mine}: names none of the 5 scans in {scans}, such as kitchen; expected one name"
    with pytest.raises(GeosetError, match=re.escape(text)):
        find_scans(scans, split_list=mine)


def test_a_scene_named_by_its_path_is_taken_whatever_its_split(scans):
    write_lists(scans)
    assert find_scans(scans / "scene0001_00") == ([scans / "scene0001_00"], [], [])


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "is empty, expected one name a line"), (b"\xff\xfe", "cannot be read"),
     (None, "cannot be read")],
)  # fmt: skip
def test_bad_list(tmp_path, content, text):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(GeosetError, match=f"list.txt: {text}"):
        read_list(tmp_path / "list.txt")
