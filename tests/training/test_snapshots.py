"""Weights saved along the way, and parts that learn at a rate of their own."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from toy_run import toy_batches, toy_model, toy_stages, toy_train

from geoset.training import loop

SNAPSHOTS = [f"snapshot-first-{step:08d}.safetensors" for step in (2, 5, 7)]
LAST = ["stage-first.safetensors", "stage-second.safetensors", "model.safetensors"]


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def stages(batches=toy_batches):
    first, second = toy_stages(batches)
    return [
        replace(first, lr_factors={"0.": 0.0, "4.": 0.5}, snapshots=(2, 5, 7)),
        replace(second, lr_factors={"0.": 0.0}),
    ]


def killed_before(step):
    def batches(first, rank, world):
        for batch in toy_batches(first, rank, world):
            if batch.step == step:
                raise KilledError
            yield batch

    return batches


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    toy_train(run, stages())
    return run


def test_the_weights_after_some_steps(whole, tmp_path):
    """Those of a stage that is stopped there; the one at the end is that of the stage."""
    assert {path.name for path in whole.glob("*.safetensors")} == {*SNAPSHOTS, *LAST}
    assert (whole / SNAPSHOTS[2]).read_bytes() == (whole / LAST[0]).read_bytes()
    with pytest.raises(KilledError):
        toy_train(tmp_path, stages(killed_before(5)), checkpoint_seconds=0)
    assert (whole / SNAPSHOTS[1]).read_bytes() == (tmp_path / SNAPSHOTS[1]).read_bytes()
    newest = max((tmp_path / "checkpoints").iterdir())
    after_5 = load_file(newest / "model.safetensors")
    assert newest.name == "step-00000005"
    snapshot = load_file(whole / SNAPSHOTS[1])
    assert all(torch.equal(after_5[name], snapshot[name]) for name in snapshot)


def test_a_part_with_factor_0_stays(whole):
    weights, before = load_file(whole / "model.safetensors"), toy_model().state_dict()
    same = {name for name in before if torch.equal(weights[name], before[name])}
    assert same == {"0.weight", "0.bias"}


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_run_with_groups_resumes_to_the_same(whole, tmp_path, step):
    with pytest.raises(KilledError):
        toy_train(tmp_path, stages(killed_before(step)), checkpoint_seconds=0)
    toy_train(tmp_path, stages(), resume=True)
    for name in SNAPSHOTS + LAST:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


def test_snapshots_between_fetches(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "steps_together", lambda device, accumulate: 4)
    toy_train(tmp_path, stages())
    for name in SNAPSHOTS + LAST:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
