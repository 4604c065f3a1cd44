"""Many scans at once: finished ones skipped, bad ones reported, the same whatever happens."""

import shutil

import pytest
from two_rooms import prepare_quietly, scenes_in

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings


@pytest.fixture
def copy(prepared_rooms, tmp_path):
    return shutil.copytree(prepared_rooms, tmp_path / "prepared")


def times(folder):
    """Return when each file of scenes was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("?/**/*")}


def damage_intrinsics(scan):
    for path in scan.glob("intrinsics*.txt"):
        path.write_text("no numbers")


def test_what_is_printed_in_the_end(rooms, tmp_path):
    copied = shutil.copytree(rooms, tmp_path / "scans")
    for name in ("000001", "000002"):
        (copied / f"a/pose/{name}.txt").write_text("nan " * 4 + "\n" + "0 0 0 1\n" * 3)
    (copied / "b/depth/000004.png").unlink()
    summary, printed = prepare_quietly(copied, tmp_path / "out")
    assert [report.status for report in summary.reports] == ["prepared"] * 2
    assert summary.failed == []
    info = summary.reports[0].info
    row = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["a"])
    expected = ("4", "2", info["surface"]["vertices"], info["sets"], info["pairs"]["kept"])
    assert row[1:6] == [str(figure) for figure in expected]
    assert row[6].endswith("%") and row[8] == "mm"
    assert "rejected frames: 2 x pose has non-finite entries" in printed
    assert "rejected frames: 1 x no depth file" in printed


def test_finished_scenes_are_not_touched(rooms, copy):
    before = times(copy)
    summary, printed = prepare_quietly(rooms, copy)
    assert times(copy) == before
    assert [report.status for report in summary.reports] == ["finished before"] * 2
    assert printed.count("finished before") == 2
    assert summary.reports[0].info["sets"] > 1


def test_only_what_is_missing_is_prepared(rooms, prepared_rooms, copy):
    shutil.rmtree(copy / "b")
    before = times(copy)
    summary, _ = prepare_quietly(rooms, copy)
    assert [report.status for report in summary.reports] == ["finished before", "prepared"]
    assert before.items() <= times(copy).items()
    assert scenes_in(copy) == scenes_in(prepared_rooms)


def test_one_scan_by_itself(rooms, prepared_rooms, tmp_path):
    summary, _ = prepare_quietly(rooms / "b", tmp_path)
    assert [report.scene for report in summary.reports] == ["b"]
    assert scenes_in(tmp_path / "b") == scenes_in(prepared_rooms / "b")


def test_two_workers_write_the_same_files(rooms, prepared_rooms, tmp_path):
    summary, printed = prepare_quietly(rooms, tmp_path, workers=2)
    assert [report.scene for report in summary.reports] == ["a", "b"]
    assert scenes_in(tmp_path) == scenes_in(prepared_rooms)
    assert "failed" not in printed


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(rooms, tmp_path, workers):
    with pytest.raises(GeosetError, match=f"workers is {workers}, expected 1 or more"):
        prepare_quietly(rooms, tmp_path, workers=workers)


def test_other_settings_are_refused(rooms, copy):
    before = times(copy)
    with pytest.raises(GeosetError, match="no scan could be prepared; the reasons stand above"):
        prepare_quietly(rooms, copy, PrepareSettings(image_size=(48, 64), threshold=0.05))
    with pytest.raises(GeosetError) as error:
        prepare_quietly(rooms / "a", copy, PrepareSettings(image_size=(48, 64), threshold=0.05))
    assert str(error.value) == (
        f"{copy / 'a'}: was prepared with threshold = 0.01, now asked with 0.05. Choose another "
        "OUT, or remove the folder to prepare it again"
    )
    assert times(copy) == before


def test_another_scan_of_the_same_name_is_refused(rooms, copy, tmp_path):
    before = times(copy)
    other = shutil.copytree(rooms / "b", tmp_path / "elsewhere/a")
    with pytest.raises(GeosetError) as error:
        prepare_quietly(other, copy)
    assert str(error.value) == (
        f"{copy / 'a'}: holds another scan of the same name, {rooms / 'a'}. Choose another OUT for "
        f"{other}, or rename its folder"
    )
    assert times(copy) == before


def test_a_scan_that_has_moved_is_still_finished(rooms, tmp_path):
    moved = shutil.copytree(rooms / "a", tmp_path / "old/a")
    prepare_quietly(moved, tmp_path / "out")
    moved = moved.rename(tmp_path / "a")
    summary, _ = prepare_quietly(moved, tmp_path / "out")
    assert summary.reports[0].status == "finished before"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_scan_among_good_ones(rooms, prepared_rooms, tmp_path, workers):
    copied = shutil.copytree(rooms, tmp_path / "scans")
    shutil.copytree(rooms / "a", copied / "aa")
    damage_intrinsics(copied / "aa")
    summary, printed = prepare_quietly(copied, tmp_path / "out", workers=workers)
    statuses = [report.status for report in summary.reports]
    assert statuses == ["prepared", "failed", "prepared"]
    assert [report.scene for report in summary.failed] == ["aa"]
    assert f"failed: {copied}/aa/intrinsics" in printed
    for name in ("a", "b"):
        assert (tmp_path / f"out/{name}/frames.tar").read_bytes() == (
            prepared_rooms / f"{name}/frames.tar"
        ).read_bytes()
    assert not (tmp_path / "out/aa/scene.json").exists()


def test_all_scans_are_bad(rooms, tmp_path):
    copied = shutil.copytree(rooms, tmp_path / "scans")
    for name in ("a", "b"):
        damage_intrinsics(copied / name)
    with pytest.raises(GeosetError, match=f"{copied}: no scan could be prepared; the reasons"):
        prepare_quietly(copied, tmp_path / "out")


def test_no_pairs_are_no_reason_to_fail(rooms, tmp_path):
    summary, printed = prepare_quietly(
        rooms / "a", tmp_path, PrepareSettings(image_size=(48, 64), min_overlap=1)
    )
    found = summary.reports[0].info["pairs"]
    assert (found["found"], found["kept"]) == (0, 0)
    assert "a: no two frames overlap enough; use a smaller --frame-step or --min-overlap" in printed
    scene = PreparedScene(tmp_path / "a")
    assert scene.pairs.shape == (0, 2) and scene.overlap.shape == (0,)


def test_a_limit_to_the_pairs(rooms, prepared_rooms, tmp_path):
    settings = PrepareSettings(image_size=(48, 64), min_overlap=0.1, max_pairs_per_scene=2)
    summary, printed = prepare_quietly(rooms / "a", tmp_path, settings)
    every = PreparedScene(prepared_rooms / "a").pairs.tolist()
    kept = PreparedScene(tmp_path / "a").pairs.tolist()
    assert len(kept) == 2 and all(pair in every for pair in kept)
    found = summary.reports[0].info["pairs"]
    assert (found["found"], found["kept"]) == (len(every), 2)
    assert f"pairs left out: {len(every) - 2} x more than 2 pairs" in printed


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"threshold": 0}, "threshold is 0, expected a number above 0"),
        ({"threshold": float("nan")}, "threshold is nan, expected a number above 0"),
        ({"frame_step": 0}, "frame_step is 0, expected 1 or more"),
        ({"min_vertices": 0}, "min_vertices is 0, expected 1 or more"),
        ({"max_fusion_frames": 0}, "max_fusion_frames is 0, expected 1 or more"),
        ({"min_overlap": 1.1}, "min_overlap is 1.1, expected 0 to 1"),
        ({"image_size": (240, 16)}, r"image_size is \(240, 16\), expected 32 or more"),
        ({"max_pairs_per_scene": 0}, "max_pairs_per_scene is 0, expected 1 or more, or none"),
    ],
)
def test_settings_out_of_range(changes, text):
    with pytest.raises(GeosetError, match=text):
        PrepareSettings(**changes)
