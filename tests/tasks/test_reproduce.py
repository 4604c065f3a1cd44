"""A table from nothing: rooms, encoders, probes, fine-tuning; stopped, failed, done twice."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from geoset import GeosetError
from geoset.recipes import BenchmarkRooms, ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks import reproduce_run
from geoset.tasks.reproduce import check_settings, keep_settings, reproduce, shared_settings
from geoset.tasks.reproduce_results import markdown
from geoset.training.log import read_log

ROOMS = BenchmarkRooms(
    unlabelled=2, unlabelled_frames=4, labelled=3, validation=2, tuning=1, labelled_frames=2
)
SETTINGS = ReproduceSettings(seeds=1, pretrain_steps=1, finetune_steps=1, rooms=ROOMS)
TABLE = Table(
    "A tiny table",
    ("scratch", "imagenet", "view", "view_sets", "view_groups_geometry"),
    (Column("probe", Task("probe")), Column("fine-tuned", Task("segmentation"))),
    published={"view": (None, 61.3)},
)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def table():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, "tiny", TABLE)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A table that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    reproduce("tiny", out, settings=SETTINGS, console=QUIET)
    return out


def figures(out):
    rows = json.loads((out / "table-tiny.json").read_text())["rows"]
    return {row: [cell["seeds"] for cell in cells] for row, cells in rows.items()}


def test_every_cell_that_can_be_run_has_a_figure(whole):
    found = figures(whole)
    assert found.pop("imagenet") == [{}, {}]  # the small scale has no ImageNet weights
    assert all(set(cell) == {"0"} for cells in found.values() for cell in cells)
    text = (whole / "table-tiny.md").read_text()
    assert "| supervised ImageNet | not run | not run |" in text
    assert "[61.3]" in text


def test_methods_that_begin_alike_go_on_from_one_run(whole):
    encoders = whole / "encoders" / "small"
    assert {path.name for path in encoders.iterdir()} == {"view", "view+sets", "view+sets-shapes"}
    first = read_log(encoders / "view" / "seed-0")
    second = read_log(encoders / "view+sets" / "seed-0")
    assert second[: len(first)] == first
    assert [row["stage"] for row in second] == ["view", "sets"]


def test_what_is_done_is_not_done_again(whole, monkeypatch):
    monkeypatch.setattr(reproduce_run, "run_job", None)
    before = (whole / "table-tiny.json").read_text()
    reproduce("tiny", whole, settings=SETTINGS, console=QUIET)
    assert (whole / "table-tiny.json").read_text() == before


def test_stopped_anywhere_it_goes_on_to_the_same_table(whole, tmp_path, monkeypatch):
    run_job, left = reproduce_run.run_job, iter(range(4))

    def run_or_die(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        run_job(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(reproduce_run, "run_job", run_or_die)
        reproduce("tiny", tmp_path, settings=SETTINGS, console=QUIET)
    assert not (tmp_path / "table-tiny.json").exists()
    reproduce("tiny", tmp_path, settings=SETTINGS, console=QUIET)
    assert figures(tmp_path) == figures(whole)


def test_a_run_that_fails_costs_no_other(whole, tmp_path, monkeypatch):
    run_job = reproduce_run.run_job

    def run_or_fail(job, out, *arguments):
        if job.folder(out).match("view+sets/seed-0"):
            raise GeosetError("no pairs")
        run_job(job, out, *arguments)

    monkeypatch.setattr(reproduce_run, "run_job", run_or_fail)
    console = Console(record=True, width=300, quiet=True)
    reproduce("tiny", tmp_path, settings=SETTINGS, console=console)
    found = figures(tmp_path)
    assert found.pop("view_sets") == [{}, {}]
    expected = figures(whole)
    expected.pop("view_sets")
    assert found == expected


def test_only_the_plan(tmp_path):
    console = Console(record=True, width=100, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    assert reproduce("tiny", tmp_path, settings=SETTINGS, only_plan=True, console=console) is None
    text = console.export_text()
    assert "train sets-shapes" in text
    assert "hours" in text
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "data", "told"),
    [
        ({"pretrain_steps": 2}, None, "pretrain_steps of the runs there is 1, now it is 2;"),
        (
            {"finetune_steps": None},
            None,
            "finetune_steps of the runs there is 1, now it is that of the scale;",
        ),
        ({"scale": "paper"}, None, "scale of the runs there is small, now it is paper;"),
        (
            {"rooms": replace(ROOMS, labelled=4)},
            None,
            "rooms.labelled of the runs there is 3, now it is 4;",
        ),
        ({}, {"scannet": Path("s")}, "data of the runs there is benchmark, now it is published;"),
    ],
)
@pytest.mark.parametrize("only_plan", [False, True])
def test_runs_of_other_settings_are_not_taken_for_these(whole, change, data, told, only_plan):
    with pytest.raises(GeosetError) as raised:
        reproduce("tiny", whole, data, replace(SETTINGS, **change), only_plan, QUIET)
    assert str(raised.value).startswith(f"{whole / 'settings.json'}: {told} all runs of a folder")
    assert "Choose another folder with --out" in str(raised.value)


def test_seeds_and_workers_may_differ(whole):
    reproduce("tiny", whole, settings=replace(SETTINGS, seeds=2, workers=2), only_plan=True)


def test_a_folder_without_settings_takes_the_first(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "settings.json").unlink()
    reproduce("tiny", tmp_path, settings=SETTINGS, console=QUIET)
    with pytest.raises(GeosetError, match="pretrain_steps of the runs there is 1"):
        reproduce("tiny", tmp_path, settings=replace(SETTINGS, pretrain_steps=9), console=QUIET)


def test_published_data_lies_where_it_lay(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, both = ({"scannet": tmp_path / "a"}, {"nyuv2": tmp_path / "b"})
    out = tmp_path / "out"
    keep_settings(out, shared_settings(SETTINGS, first))
    keep_settings(out, shared_settings(SETTINGS, first | both))
    check_settings(out, shared_settings(SETTINGS, first | both))
    check_settings(out, shared_settings(SETTINGS, first))
    with pytest.raises(GeosetError, match=r"data nyuv2 of the runs there is .*/b, now it is .*/a;"):
        check_settings(out, shared_settings(SETTINGS, {"nyuv2": tmp_path / "a"}))


def test_unknown_tables_and_missing_data(tmp_path):
    with pytest.raises(GeosetError, match=r"table '11' is unknown; choose from 1, 2, 3,"):
        reproduce("11", tmp_path, console=QUIET)
    with pytest.raises(GeosetError, match=r"nyuv2 is needed for this table; add nyuv2=PATH"):
        reproduce("6", tmp_path, {"scannet": tmp_path}, SETTINGS, console=QUIET)


def test_what_a_table_says():
    """Two seeds: differences 2 and 3 are 2.5 ± 6.4 (t of 1 degree of freedom is 12.7)."""
    cell = {"seeds": {"0": 15.0, "1": 17.0}, "n": 2, "mean": 16.0, "margin": 12.7}
    better = {"n": 2, "mean": 2.5, "margin": 6.4, "significant": False}
    results = {
        "title": "T",
        "columns": ["probe"],
        "baseline": "scratch",
        "settings": {"scale": "small"},
        "rows": {"scratch": [cell], "view": [cell | {"better": better, "published": 61.3}]},
        "seconds": {"scratch": None, "view": 12.5},
    }
    text = markdown(results)
    assert "| Pri3D (View) | 16.0 ± 12.7 (2) [61.3] | 12.5 |" in text
    assert "| Pri3D (View) | +2.5 ± 6.4 |" in text
