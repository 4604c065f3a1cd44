"""What tables say in words: verdicts, missing runs, equal steps and compute. By hand."""

from dataclasses import asdict

import pytest

from geoset.recipes import ReproduceSettings
from geoset.tasks.reproduce.compute import fairness, preparing_text, ratios, second_fairness
from geoset.tasks.reproduce.words import (
    command,
    difference_text,
    headline,
    not_run,
    of_seeds,
    verdicts,
)

CELL = {"n": 3, "mean": 9.0, "margin": 1.0}
NONE = {"n": 0, "mean": None, "margin": None, "significant": None}


def better(n, mean, margin=None, significant=None):
    return {"n": n, "mean": mean, "margin": margin, "significant": significant}


def results_of(**rows):
    settings = asdict(ReproduceSettings(scale="paper"))
    columns = ["probe", "fine-tuned"]
    common = {"table": "1", "columns": columns, "settings": settings, "baseline": "scratch"}
    return {"rows": rows, **common}


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (better(5, 1.84, 0.9, True), "+1.8 ± 0.9 (5), better"),
        (better(2, -1.84, 0.9, True), "-1.8 ± 0.9 (2), worse"),
        (better(2, -0.04, 0.9, False), "+0.0 ± 0.9 (2), open"),
        (better(3, 0.4, 1.2, False), "+0.4 ± 1.2 (3), open"),
        (better(1, 2.5), "+2.5 (1), one seed"),
        (NONE, "no seed in common"),
    ],
)
def test_differences(difference, words):
    assert difference_text(difference) == words


def test_verdicts_of_each_column():
    found = {
        "view": [better(5, -2.0, 1.0, True), better(1, 2.0)],
        "geo": [better(5, 3.0, 1.0, True), better(5, 0.2, 1.0, False)],
        "sets": [better(5, 4.0, 1.0, True), NONE],
    }
    assert verdicts(found, ["probe", "fine-tuned"]) == [
        "probe, better: 'Pri3D (Geo)' +3.0 ± 1.0, 'geometric sets (ours)' +4.0 ± 1.0.",
        "probe, worse: 'Pri3D (View)' -2.0 ± 1.0.",
        "fine-tuned, not to be told apart: 'Pri3D (Geo)' +0.2 ± 1.0.",
        "fine-tuned, one seed, not to be told from chance: 'Pri3D (View)' +2.0.",
    ]


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (5, "differences, over 5 seeds, leaves out 0."),
        (2, "differences, over 2 seeds, leaves out 0. Two seeds give intervals so wide"),
    ],
)
def test_the_headline_counts_what_is_significant(n, words):
    differences = better(n, -2.0, 1.0, True), better(n, 9.0, 9.5, False)
    results = results_of(scratch=[CELL, CELL], view=[CELL | {"better": b} for b in differences])
    said = headline(results)
    assert said.startswith("1 of 2 differences from 'from scratch' are significant: the 95 %")
    assert words in said


def test_the_headline_of_one_seed_and_of_none():
    results = results_of(scratch=[CELL], view=[CELL | {"better": better(1, 5.0)}])
    assert headline(results).startswith("One seed: no difference from 'from scratch' can be")
    results = results_of(scratch=[CELL], view=[CELL | {"better": NONE}])
    assert headline(results) == "Nothing to compare with 'from scratch' has been run."


def test_the_headline_where_some_have_fewer_seeds():
    found = better(5, 2.0, 1.0, True), better(3, 0.1, 1.0, False), better(1, 9.0), NONE
    results = results_of(scratch=[CELL] * 4, view=[CELL | {"better": b} for b in found])
    assert headline(results) == (
        "1 of 2 differences from 'from scratch' are significant: the 95 % interval of the paired "
        "differences, over 3 to 5 seeds, leaves out 0. 1 more are of one seed, which tells nothing."
    )


def test_cells_without_a_seed_and_cells_that_lack_some():
    few, none = CELL | {"n": 1}, CELL | {"n": 0}
    results = results_of(scratch=[CELL, CELL], view=[few, none], geo=[none, none])
    assert not_run(results) == [
        "Not run: Pri3D (View) (fine-tuned); Pri3D (Geo).",
        "Cells with fewer than 3 seeds: Pri3D (View) (probe 1).",
    ]
    assert not_run(results_of(scratch=[CELL, CELL])) == []


@pytest.mark.parametrize(
    ("together", "said"),
    [
        (None, []),
        ([4], ["Times are of seed 4 alone."]),
        ([0, 1], ["Times are of the seeds 0, 1, which were run together."]),
    ],
)
def test_what_is_of_some_seeds(together, said):
    assert of_seeds({"together": together}, "Times") == said


def test_the_command_that_makes_a_table():
    results = results_of() | {"made": {"data": "published"}}
    expected = "geoset reproduce 1 --data scannet=PATH --seeds 3 --workers 1 --scale paper"
    assert command(results) == expected
    results["settings"] |= {"scale": "small", "pretrain_steps": 40}
    results["settings"]["rooms"]["unlabelled_frames"] = 4
    results["settings"]["first_seed"] = 2
    results |= {"made": {"data": "benchmark"}}
    expected = (
        "geoset reproduce 1 --seeds 3 --workers 1 --first-seed 2 --pretrain-steps 40 "
        "--rooms.unlabelled-frames 4"
    )
    assert command(results) == expected


def stages(*seconds, steps=800):
    return [{"name": f"{k}", "steps": steps, "step_s": s} for k, s in enumerate(seconds)]


def test_ratios_of_two_trainings():
    found = ratios(stages(0.3, 0.4), stages(0.3, 0.2))
    assert found.steps == 1
    assert found.compute == pytest.approx(1.4)
    assert found.last_step == pytest.approx(2)
    assert ratios([], stages(0.3)) is None


def test_equal_steps_are_not_equal_compute():
    won, lost = better(5, 1.0, 0.5, True), better(5, -1.0, 0.5, True)
    rows = {"sets": won, "geo": won, "depth": lost, "moco": won}
    results = results_of(view=[CELL], **{row: [{"better": found}] for row, found in rows.items()})
    costs = {
        "view": stages(0.3, 0.3),
        "sets": stages(0.3, 0.39),
        "geo": stages(0.3, 0.6),
        "depth": stages(0.3, 0.06),
        "moco": stages(0.3),
    }
    results |= {"baseline": "view", "cost": {"rows": {r: {"stages": s} for r, s in costs.items()}}}
    times = "(times the baseline's; in brackets that of a step of the last stage)"
    assert fairness(results) == [
        f"At equal steps and, within 25 %, equal compute {times}: "
        "'geometric sets (ours)' 1.15 (1.30).",
        "At equal steps but not at equal compute, which favours the method by the factor "
        f"{times}: 'Pri3D (Geo)' 1.50 (2.00).",
        "At equal steps but not at equal compute, which favours the baseline by the factor "
        f"{times}: 'depth prediction' 0.60 (0.20).",
        "Not at equal steps (times the baseline's steps; its compute): 'MoCoV2' 0.50; 0.50.",
        "Better at equal compute, within 25 %, or at less: 'geometric sets (ours)', 'MoCoV2'.",
        "Better, but with more compute, so not shown at equal compute: 'Pri3D (Geo)'.",
    ]


def test_the_second_baseline_has_steps_and_compute_of_its_own():
    costs = {"view": stages(0.3), "sets": stages(0.3, 0.3), "geo": stages(0.3, 0.9)}
    results = results_of() | {"cost": {"rows": {r: {"stages": s} for r, s in costs.items()}}}
    also = {"baseline": "sets", "rows": {"geo": [], "view": []}}
    assert second_fairness(results | {"also": also}) == [
        "At equal steps but not at equal compute, which favours the method by the factor (times "
        "the baseline's; in brackets that of a step of the last stage): 'Pri3D (Geo)' 2.00 (3.00).",
        "Not at equal steps (times the baseline's steps; its compute): 'Pri3D (View)' 0.50; 0.50.",
    ]
    costs["sets"].clear()
    assert second_fairness(results | {"also": also}) == []
    assert second_fairness(results | {"also": {"baseline": None, "rows": {}}}) == []


def test_a_baseline_without_steps():
    costs = {"scratch": [], "view": [], "sets": stages(1, 1), "geo": stages(2), "depth": stages(1)}
    results = results_of() | {"cost": {"rows": {r: {"stages": s} for r, s in costs.items()}}}
    assert fairness(results | {"baseline": "scratch"}) == [
        "The baseline has no pre-training.",
        "Steps of pre-training: 800 of 'Pri3D (Geo)', 'depth prediction'; 1600 of 'geometric sets "
        "(ours)'.",
    ]
    (said,) = fairness(results | {"baseline": "view"})
    assert said.startswith("The baseline was not run: ")


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (80, "methods and seeds; it took 120 s, summed over processes."),
        (8, "methods and seeds; it took 120 s for 8 of them, summed over processes."),
        (0, "its time was not measured, as they were there already."),
    ],
)
def test_preparing(measured, words):
    assert words in preparing_text({"scenes": 80, "measured": measured, "seconds": 120.0})
    assert preparing_text(None) == ""
