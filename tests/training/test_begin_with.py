"""A run that goes on from the end of another instead of training its first stages again."""

import shutil

import pytest
from test_loop import KilledError, assert_same_run, killed_before
from toy_run import toy_stages, toy_train

from geoset import GeosetError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    toy_train(run)
    return run


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of the first stage alone."""
    run = tmp_path_factory.mktemp("first")
    toy_train(run, toy_stages()[:1])
    return run


def test_it_ends_as_if_it_had_trained_all(tmp_path, first, whole):
    before = {path.name for path in first.iterdir()}
    toy_train(tmp_path, begin_with=first)
    assert_same_run(tmp_path, whole)
    assert {path.name for path in first.iterdir()} == before


def test_it_can_be_killed_and_resumed(tmp_path, first, whole):
    stages = [toy_stages()[0], toy_stages(killed_before(3))[1]]
    with pytest.raises(KilledError):
        toy_train(tmp_path, stages, begin_with=first, checkpoint_seconds=0)
    toy_train(tmp_path, begin_with=first, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_killed_copy_is_made_again(tmp_path, first, whole):
    shutil.copytree(first / "checkpoints", tmp_path / "checkpoints")
    next((tmp_path / "checkpoints").glob("*/model.safetensors")).write_bytes(b"half")
    toy_train(tmp_path, begin_with=first)
    assert_same_run(tmp_path, whole)


def test_where_it_may_not_begin(tmp_path, first):
    out = tmp_path / "out"
    with pytest.raises(GeosetError, match="is no run"):
        toy_train(out, begin_with=tmp_path)
    with pytest.raises(GeosetError, match="was trained with seed 0, expected 1"):
        toy_train(out, begin_with=first, seed=1)
    with pytest.raises(GeosetError, match=r"has the stages .*, the first of the run that goes on"):
        toy_train(out, toy_stages(lr=0.1), begin_with=first)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(KilledError):
        toy_train(unfinished, toy_stages(killed_before(4))[:1], checkpoint_seconds=0)
    with pytest.raises(GeosetError, match=r"is not finished .* of 7 steps"):
        toy_train(out, begin_with=unfinished)
    assert not out.exists() or not any(out.iterdir())
