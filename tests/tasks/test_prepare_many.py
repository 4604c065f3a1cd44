"""Many scans: whatever happens to some, the others are done, and the report is exact."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import dangerous_work
import pytest
from two_rooms import prepare_quietly, scenes_in

from geoset.errors import GeosetError
from geoset.prepare.scene import FORMAT_VERSION
from geoset.recipes import PrepareSettings
from geoset.tasks import attempt as attempt_module
from geoset.tasks import prepare as prepare_module
from plane_scans import HEIGHT, WIDTH, write_plane_scan, write_plane_scans
from under_fire import prepare_under_fire, unlucky_of

SETTINGS = PrepareSettings(image_size=(HEIGHT, WIDTH))


def statuses(summary):
    return {outcome.scene: outcome.status for outcome in summary.reports}


def report_in(out, name="report.json"):
    return json.loads((out / name).read_text())


@pytest.fixture
def scans(tmp_path):
    """Six scans, the last one broken."""
    return write_plane_scans(tmp_path / "scans", 6, broken={5})


def test_workers_that_die(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_plane_scan(scans / "deadly")
    write_plane_scan(scans / "once")
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "attempt", dangerous_work.attempt_or_die)
        summary, printed = prepare_quietly(scans, out, SETTINGS, workers=2)
    good = {f"s000{number}": "prepared" for number in range(5)}
    assert statuses(summary) == good | {"once": "prepared", "deadly": "failed", "s0005": "failed"}
    told = (
        f"{scans}/deadly: its worker died twice (SIGKILL), the second time alone: perhaps out of "
        "memory"
    )
    assert f"failed: {told}" in printed
    assert "deadly, once: tried again alone, since their worker died" in printed
    again = [scene["scene"] for scene in report_in(out)["scenes"] if scene["tried_again"]]
    assert again == ["deadly", "once"]
    took = {scene["scene"]: scene["seconds"] for scene in report_in(out)["scenes"]}
    assert (out / "failed/deadly.txt").read_text().startswith(told)
    assert sorted(file.name for file in (out / "failed").iterdir()) == ["deadly.txt", "s0005.txt"]

    summary, _ = prepare_quietly(scans, out, SETTINGS)
    assert statuses(summary)["deadly"] == "prepared"
    still = {scene["scene"]: scene["seconds"] for scene in report_in(out)["scenes"]}
    assert all(took[name] and still[name] == took[name] for name in good)
    assert [file.name for file in (out / "failed").iterdir()] == ["s0005.txt"]

    os.utime(scans / "deadly/pose/000000.txt", (1, 1))
    monkeypatch.setattr(prepare_module, "attempt", dangerous_work.attempt_or_die)
    prepare_quietly(scans, out, SETTINGS, workers=2)
    entries = {scene["scene"]: scene for scene in report_in(out)["scenes"]}
    assert entries["deadly"]["status"] == "failed" and entries["deadly"]["seconds"] is None


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), MemoryError("no room")])
def test_any_exception_is_told_with_its_traceback(scans, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(attempt_module, "prepare_scene", fail)
    scan, kind = scans / "s0000", type(error).__name__
    with pytest.raises(GeosetError) as raised:
        prepare_quietly(scan, tmp_path / "out", SETTINGS)
    assert str(raised.value) == f"{scan}: {kind}: {error}"
    details = (tmp_path / "out/failed/s0000.txt").read_text()
    assert details.startswith("Traceback") and details.endswith(f"{kind}: {error}\n")
    assert report_in(tmp_path / "out")["failures"] == {f"{kind}: {error}": 1}


def test_the_report(scans, tmp_path):
    summary, _ = prepare_quietly(scans, tmp_path, SETTINGS)
    report = report_in(tmp_path)
    assert report["counts"] == {"prepared": 5, "failed": 1}
    assert report["settings"]["image_size"] == [HEIGHT, WIDTH]
    assert report["run"] == {"engine": "local", "workers": 1, "shard": None}
    assert set(report["versions"]) == {"geoset", "python", "numpy", "numba"}
    (reason,) = report["failures"]
    assert reason.startswith("no colour intrinsics; expected") and report["failures"][reason] == 1
    first, last = report["scenes"][0], report["scenes"][-1]
    info = summary.reports[0].info
    assert first["scene"] == "s0000" and first["status"] == "prepared" and first["seconds"] > 0
    assert first["frames"] == 3 and first["rejected"] == {} and first["covered"] == 1
    assert first["vertices"] == info["surface"]["vertices"] and first["pairs"] == info["pairs"]
    assert first["bytes"] == sum(
        (tmp_path / "s0000" / name).stat().st_size
        for name in ("frames.tar", "surface.ply", "pairs.npz")
    )
    assert last["error"] == summary.failed[0].error
    assert (tmp_path / last["details"]).read_text().startswith("Traceback")


def test_one_broken_kind_of_scan_is_counted_once(tmp_path):
    scans = write_plane_scans(tmp_path / "scans", 4, broken={0, 2, 3})
    for number in (0, 2, 3):
        (scans / f"s000{number}/intrinsics.txt").write_text("nonsense")
    prepare_quietly(scans, tmp_path / "out", SETTINGS)
    (reason,) = report_in(tmp_path / "out")["failures"]
    assert reason.startswith("SCAN/intrinsics.txt: cannot be read")


def test_a_scan_that_changed_is_prepared_again(scans, tmp_path):
    out = tmp_path / "out"
    prepare_quietly(scans, out, SETTINGS)
    before = scenes_in(out)
    os.utime(scans / "s0001/pose/000000.txt", (1, 1))  # of s0001 alone: files are linked
    summary, printed = prepare_quietly(scans, out, SETTINGS)
    assert statuses(summary)["s0001"] == "prepared" and printed.count("prepared again") == 1
    assert "prepared again: 1 x its scan changed since it was prepared" in printed
    assert report_in(out)["outdated"] == {"its scan changed since it was prepared": 1}
    after = scenes_in(out)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["s0001/scene.json"]


def test_a_scene_of_another_format_is_prepared_again(scans, tmp_path):
    out = tmp_path / "out"
    prepare_quietly(scans, out, SETTINGS)
    before = scenes_in(out)
    file = out / "s0002/scene.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 0}))
    _, printed = prepare_quietly(scans, out, SETTINGS)
    assert f"prepared again: 1 x is stored in format 0, now format {FORMAT_VERSION}" in printed
    assert scenes_in(out) == before


def test_shards_at_the_same_time(scans, tmp_path):
    prepare_quietly(scans, tmp_path / "whole", SETTINGS)
    out = tmp_path / "out"
    with ThreadPoolExecutor() as threads:
        done = threads.map(
            lambda number: prepare_quietly(scans, out, SETTINGS, shard=f"{number}/4"), (1, 2, 3, 4)
        )
        assert [len(summary.failed) for summary, _ in done] == [0, 1, 0, 0]
    reported = [
        [entry["scene"] for entry in report_in(out, f"report-{number}-of-4.json")["scenes"]]
        for number in (1, 2, 3, 4)
    ]
    assert reported == [["s0000", "s0004"], ["s0001", "s0005"], ["s0002"], ["s0003"]]
    summary, printed = prepare_quietly(scans, out, SETTINGS)
    assert "6 scans, 1 to prepare" in printed and len(summary.failed) == 1
    assert scenes_in(out) == scenes_in(tmp_path / "whole")


def test_a_part_without_scans(scans, tmp_path):
    summary, printed = prepare_quietly(scans, tmp_path, SETTINGS, shard="7/7")
    assert summary.reports == [] and "0 scans (part 7/7), 0 to prepare" in printed


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"])
def test_parts_that_there_are_not(scans, tmp_path, shard):
    with pytest.raises(GeosetError) as error:
        prepare_quietly(scans, tmp_path, SETTINGS, shard=shard)
    assert str(error.value) == (
        f"shard is '{shard}', expected i/n with i from 1 to n, such as 3/10 for the third of ten "
        "parts"
    )


@pytest.mark.parametrize(
    ("asked", "out", "why"),
    [
        ("s0000", "s0000/prepared", "is inside the scan {scans}/s0000"),
        ("", "s0001", "is inside the scan {scans}/s0001"),
        ("", "", "is where the scan {scans}/s0000 lies"),
    ],
)
def test_nothing_is_written_into_scans(scans, asked, out, why):
    before = set(scans.rglob("*"))
    with pytest.raises(GeosetError) as error:
        prepare_quietly(scans / asked, scans / out, SETTINGS)
    assert str(error.value) == f"{scans / out}: {why.format(scans=scans)}; choose another OUT"
    assert set(scans.rglob("*")) == before


def large(engine):
    return pytest.param(engine, 1000, 20, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("engine", "count", "kills"), [("local", 36, 5), large("local"), large("dask"), large("ray")]
)
def test_under_fire(tmp_path, engine, count, kills):
    """Workers are killed at random; then the same again, in peace."""
    broken, out = set(range(7, count, 33)), tmp_path / "out"
    scans = write_plane_scans(tmp_path / "scans", count, broken)
    code, printed, killed = prepare_under_fire(scans, out, engine, kills, 0.2)
    assert code == 1 and killed >= kills // 2
    done = count - len(broken) - len(unlucky_of(out, count, broken))
    assert f"{done} prepared" in printed and f"{count - done} failed" in printed
    assert not re.search(r"^ s\d{4} ", printed, re.MULTILINE)  # no row for each
    summary, _ = prepare_quietly(scans, out, SETTINGS, workers=2)
    assert unlucky_of(out, count, broken) == set() and len(summary.failed) == len(broken)
