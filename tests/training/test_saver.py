import pytest
from test_loop import assert_same_run
from toy_run import toy_train

from geoset.training import saver


def draw_recording(drawn):
    def draw(run):
        drawn.append(len((run / "log.jsonl").read_text().splitlines()))

    return draw


def test_curves_are_drawn_at_the_end_of_each_stage(tmp_path):
    drawn = []
    toy_train(tmp_path, draw=draw_recording(drawn), checkpoint_seconds=0)
    assert drawn == [7, 12]


def test_curves_of_a_long_stage_are_drawn_in_between(tmp_path, monkeypatch):
    monkeypatch.setattr(saver, "SECONDS_BETWEEN_DRAWINGS", 0)
    drawn = []
    toy_train(tmp_path, draw=draw_recording(drawn), checkpoint_seconds=0)
    assert drawn == list(range(1, 13))


def test_curves_that_cannot_be_drawn_do_not_end_the_run(tmp_path):
    def draw(run):
        raise ValueError("no font")

    with pytest.warns(UserWarning, match=r"run: no curves drawn \(ValueError\('no font'\)\)"):
        toy_train(tmp_path / "run", draw=draw)
    toy_train(tmp_path / "other")
    assert_same_run(tmp_path / "run", tmp_path / "other")
