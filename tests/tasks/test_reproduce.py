"""A table from nothing: rooms, encoders, probes, fine-tuning; stopped, failed, done twice."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_table
import torch
from rich.console import Console
from same_process import run_in_this_process

from geoset import GeosetError, load_model
from geoset.recipes import BenchmarkRooms, ReproduceSettings
from geoset.recipes.methods import METHODS
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks import running
from geoset.tasks.isolated import IsolatedProcess
from geoset.tasks.reproduce import data as reproduce_data
from geoset.tasks.reproduce import run as reproduce_run
from geoset.tasks.reproduce.cells import encoder_of
from geoset.tasks.reproduce.data import benchmark, make_scenes
from geoset.tasks.reproduce.jobs import Encoder, Score, frozen_network, is_done
from geoset.tasks.reproduce.page import CAPTIONS
from geoset.tasks.reproduce.plan import time_left
from geoset.tasks.reproduce.run import run_all
from geoset.tasks.reproduce.shared_settings import check_settings, keep_settings, shared_settings
from geoset.tasks.reproduce.table import reproduce
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
        run_in_this_process(patch)
        patch.setattr(running, "draw_curves", lambda *_: None)  # as long as a training of one step
        yield


@pytest.fixture
def with_rooms(whole, tmp_path, monkeypatch):
    """A folder of no runs, but of `whole`'s rooms and scenes; no page is drawn."""
    shutil.copytree(whole / "rooms", tmp_path / "rooms")
    monkeypatch.setattr(reproduce_data, "prepare", lambda *_, **__: None)
    monkeypatch.setattr("geoset.tasks.reproduce.table.write_page", lambda *_: None)
    return tmp_path


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


def test_every_kind_of_picture_is_on_the_page(whole):
    page = (whole / "table-tiny.html").read_text()
    for kind, (heading, _) in CAPTIONS.items():
        assert (whole / f"table-tiny-{kind}.png").is_file()
        assert f">{heading}<" in page


def test_methods_that_begin_alike_go_on_from_one_run(whole):
    encoders = whole / "encoders" / "small"
    assert {path.name for path in encoders.iterdir()} == {"view", "view+sets", "view+sets-shapes"}
    first = read_log(encoders / "view" / "seed-0")
    second = read_log(encoders / "view+sets" / "seed-0")
    assert second[: len(first)] == first
    assert [row["stage"] for row in second] == ["view", "sets"]


@pytest.mark.parametrize("row", ["scratch", "view", "view_sets", "view_groups_geometry"])
def test_what_is_scored_is_what_was_trained(whole, row):
    encoder = encoder_of(row, "resnet18", 0, SETTINGS)
    weights = encoder.folder(whole) / "model.safetensors"
    run = Score(Task("segmentation"), encoder).folder(whole) / "run.json"
    told = json.loads(run.read_text())["plan"]["settings"]["segmentation"]["encoder"]
    assert told == ("scratch" if row == "scratch" else str(weights))
    if row != "scratch":
        train, _ = benchmark(whole / "rooms").open("scannet")
        frozen = frozen_network(encoder, whole, SETTINGS, train).state_dict()
        trained = load_model(weights).state_dict()
        parameters = [key for key in trained if key.endswith(("weight", "bias"))]
        assert len(parameters) > 50
        assert all(torch.equal(frozen[key], trained[key]) for key in parameters)


def test_what_is_done_is_not_done_again(whole, monkeypatch):
    monkeypatch.setattr(reproduce_run, "run_job", None)
    before = (whole / "table-tiny.json").read_text()
    reproduce("tiny", whole, settings=SETTINGS, console=QUIET)
    assert (whole / "table-tiny.json").read_text() == before


def test_scenes_are_grouped_again_only_if_one_lacks_its_groups(whole, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce_data, "group", lambda *_, **__: asked.append(1))
    monkeypatch.setattr(reproduce_data, "prepare", lambda *_, **__: None)
    shutil.copytree(whole / "rooms", tmp_path / "rooms")
    sources = benchmark(tmp_path / "rooms")
    trainings = METHODS["view_groups_geometry"].trainings
    make_scenes(sources, trainings, 1)
    assert not asked
    next(sources.prepared.glob("*/groups/shapes.npy")).unlink()
    make_scenes(sources, trainings, 1)
    assert asked


def test_stopped_anywhere_it_goes_on_to_the_same_table(whole, with_rooms, monkeypatch):
    run_job, left = reproduce_run.run_job, iter(range(4))

    def run_or_die(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        run_job(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(reproduce_run, "run_job", run_or_die)
        reproduce("tiny", with_rooms, settings=SETTINGS, console=QUIET)
    assert not (with_rooms / "table-tiny.json").exists()
    reproduce("tiny", with_rooms, settings=SETTINGS, console=QUIET)
    assert figures(with_rooms) == figures(whole)


def test_a_run_that_fails_costs_no_other(whole, with_rooms, monkeypatch):
    run_job = reproduce_run.run_job

    def run_or_fail(job, out, *arguments):
        if job.folder(out).match("view+sets/seed-0"):
            raise GeosetError("no pairs")
        run_job(job, out, *arguments)

    monkeypatch.setattr(reproduce_run, "run_job", run_or_fail)
    console = Console(record=True, width=300, quiet=True)
    with pytest.raises(GeosetError, match=r"1 of \d+ runs failed.* the same command tries"):
        reproduce("tiny", with_rooms, settings=SETTINGS, console=console)
    found = figures(with_rooms)
    assert found.pop("view_sets") == [{}, {}]
    expected = figures(whole)
    expected.pop("view_sets")
    assert found == expected


class KilledProcess(IsolatedProcess):
    """A process of its own; that of seed 0 is killed before it works, that of seed 1 at work."""

    def call(self, function, work):
        seed, output = work.job.encoder.seed, work.job.folder(work.out) / "output.txt"
        if seed == 0:
            self._process.kill()
        elif seed == 1:
            threading.Thread(target=self.kill_when_there_is, args=[output]).start()
        return super().call(function, work)

    def kill_when_there_is(self, output):
        while not output.is_file():
            time.sleep(0.02)
        self._process.kill()


def test_a_process_that_is_killed_costs_its_run_alone(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce_run, "IsolatedProcess", KilledProcess)
    *dead, alive = (Score(Task("probe"), Encoder("scratch", 0, "small", seed)) for seed in range(3))
    settings = replace(SETTINGS, workers=3)
    failed = run_all([*dead, alive], tmp_path, benchmark(whole / "rooms"), settings, QUIET)
    assert {job for job, _ in failed} == set(dead)
    for job, reason in failed:
        path = job.folder(tmp_path) / "output.txt"
        assert reason == f"its process died (SIGKILL), perhaps for lack of memory (see {path})"
        assert path.is_file()
    assert [is_done(job, tmp_path) for job in (*dead, alive)] == [False, False, True]
    names = ("score.json", "cost.json")
    score, cost = (json.loads((alive.folder(tmp_path) / name).read_text()) for name in names)
    assert 0 < score["scores"]["miou"] < 100
    assert cost["seconds"] > 0 and cost["peak_mb"] > 100


def test_the_time_left_follows_what_runs_have_taken(whole, tmp_path):
    """Of four runs of 90 s, by estimate, the first took 180: three are left, two at a time."""
    jobs = [Score(Task("probe"), Encoder("scratch", 0, "small", seed)) for seed in range(4)]
    settings = ReproduceSettings(workers=2)
    told = time_left(jobs, tmp_path, settings)
    assert told == "about 3 min left, 2 run(s) at a time, on a plain machine"
    paper = replace(settings, scale="paper")
    assert "first lines of each run" in time_left(jobs, tmp_path, paper)
    folder = jobs[0].folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "score.json").touch()
    (folder / "cost.json").write_text('{"seconds": 180, "peak_mb": 1}')
    for either in (settings, paper):
        told = time_left(jobs, tmp_path, either)
        assert told == "about 4 min left, 2 run(s) at a time, at the pace so far"
    jobs.append(Encoder("view", 1, "small", 0))  # 300 s: at its own pace
    told = time_left(jobs, tmp_path, settings)
    assert told == "about 7 min left, 2 run(s) at a time, at the pace so far"
    assert "first lines of each run" in time_left(jobs, tmp_path, paper)


def start_program(out):
    return subprocess.Popen(
        [sys.executable, tiny_table.__file__, str(out)], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle_of_a_training(number, tmp_path):
    """The training saves where it is, if it is let, and nothing is lost or left running."""
    assert start_program(tmp_path / "whole").wait() == 0
    out = tmp_path / "stopped"
    run = out / "encoders" / "small" / "view" / "seed-0"
    program = start_program(out)
    while not (run / "log.jsonl").is_file() or len(read_log(run)) < 3:
        assert program.poll() is None
        time.sleep(0.05)
    program.send_signal(number)
    said = program.communicate()[1]
    saved = list(run.glob("checkpoints/step-*"))
    if number == signal.SIGKILL:
        assert program.returncode == -number
    else:
        assert program.returncode == 128 + number
        assert "The same command goes on from here." in said
        assert saved
        assert not (run / "model.safetensors").exists()
    assert start_program(out).wait() == 0
    assert figures(out) == figures(tmp_path / "whole")


def test_only_the_plan(tmp_path):
    console = Console(record=True, width=100, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    assert reproduce("tiny", tmp_path, settings=SETTINGS, only_plan=True, console=console) is None
    text = console.export_text()
    assert "train sets-shapes" in text
    assert "min left, 1 run(s) at a time, on a plain machine" in " ".join(text.split())
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
