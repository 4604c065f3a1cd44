"""What runs took, from folders written by hand."""

import json

import pytest
from ended_run import end_run

from geoset.recipes import ReproduceSettings
from geoset.recipes.tables import Column, Table, Task
from geoset.tasks.reproduce.cells import encoder_of
from geoset.tasks.reproduce.cost import costs
from geoset.tasks.reproduce.jobs import Score

SETTINGS = ReproduceSettings(seeds=3)
TABLE = Table("", ("scratch", "view_sets"), (Column("probe", Task("probe")),))


def store(folder, log=(), cost=None):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    end_run(folder, len(log))
    (folder / "score.json").touch()
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    if cost:
        (folder / "cost.json").write_text(json.dumps({"seconds": cost[0], "peak_mb": cost[1]}))


def steps(stage, *seconds):
    return [{"stage": stage, "step_s": s} for s in seconds]


@pytest.fixture
def found(tmp_path):
    """View, then sets: seeds 0 and 1 have ended, the first stage of seed 1 was not measured."""
    for seed, cost in ((0, (10.0, 900)), (1, None)):
        encoder = encoder_of("view_sets", "resnet50", seed, SETTINGS)
        log = steps("view", 0.1, 0.1, 0.5) + steps("sets", 0.2, 0.9, 0.2)
        store(encoder.folder(tmp_path), log, (30.0, 800))
        store(encoder.before.folder(tmp_path), cost=cost)
        store(Score(Task("probe"), encoder).folder(tmp_path), cost=(2.0 + seed, 1000))
    (tmp_path / "rooms/prepared").mkdir(parents=True)
    report = {"scenes": [{"seconds": 1.5}, {"seconds": None}, {"seconds": 2.0}]}
    (tmp_path / "rooms/prepared/report.json").write_text(json.dumps(report))
    return costs(TABLE, tmp_path, SETTINGS)


def test_steps_are_those_of_a_quiet_machine(found):
    assert found["rows"]["view_sets"]["stages"] == [
        {"name": "view", "steps": 3, "step_s": 0.1},
        {"name": "sets", "steps": 3, "step_s": 0.2},
    ]


def test_stages_are_summed_over_seeds_that_were_measured_whole(found):
    row = found["rows"]["view_sets"]
    assert row["training"] == {"n": 1, "seconds": 40.0, "peak_mb": 900}
    assert row["scoring"] == [{"n": 2, "seconds": 2.5, "peak_mb": 1000}]


def test_what_was_not_run_has_no_cost(found):
    none = {"n": 0, "seconds": None, "peak_mb": None}
    assert found["rows"]["scratch"] == {"stages": [], "training": none, "scoring": [none]}


def test_preparing_counts_what_was_measured(found):
    assert found["preparing"] == {"scenes": 3, "measured": 2, "seconds": 3.5}
