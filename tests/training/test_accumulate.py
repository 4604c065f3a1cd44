"""Several batches a step."""

from functools import partial

import pytest
import torch
import toy_run
from test_loop import assert_same_run
from torch import nn
from toy_run import compute, toy_batches, toy_stages, toy_train
from two_processes import exit_codes

from geoset import GeosetError
from geoset.training.log import read_log
from geoset.training.loop import train

TWO_A_STEP = partial(toy_batches, accumulate=2)


def test_the_gradient_is_the_mean_over_the_batches_of_a_step(tmp_path):
    """SGD by hand: two batches a step, the loss of each halved."""

    def plain_compute(model, batch, generator):
        return {"loss": ((model(batch.x) - batch.y) ** 2).mean()}

    def linear():
        torch.manual_seed(3)
        return nn.Linear(4, 1)

    trained = linear()
    train(
        trained,
        toy_stages(TWO_A_STEP, plain_compute)[:1],
        tmp_path,
        settings={},
        seed=0,
        save_weights=lambda model, path: None,
        accelerator="cpu",
        accumulate=2,
        tensorboard=False,
    )
    expected, batches, losses = linear(), toy_batches(0, 0, 1), []
    optimizer = torch.optim.SGD(expected.parameters(), lr=1.0, momentum=0.9, dampening=0.1)
    for step in range(7):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 8) ** 0.9
        optimizer.zero_grad()
        both = [plain_compute(expected, next(batches), None)["loss"] for _ in range(2)]
        (sum(both) / 2).backward()
        losses.append(sum(both).item() / 2)
        optimizer.step()
    torch.testing.assert_close(trained.weight, expected.weight)
    rows = read_log(tmp_path)
    assert [row["loss"] for row in rows] == pytest.approx(losses)
    assert [row["frames"] for row in rows] == [32] * 7


def test_every_batch_has_randomness_of_its_own(tmp_path):
    draws = []

    def recording(model, batch, generator):
        draws.append((torch.rand((), generator=generator).item(), torch.rand(()).item()))
        return compute(model, batch, generator)

    toy_train(tmp_path, toy_stages(TWO_A_STEP, recording), accumulate=2)
    assert len(set(draws)) == 24


def test_batches_come_in_order(tmp_path):
    seen = []

    def recording(model, batch, generator):
        seen.append(batch.step)
        return compute(model, batch, generator)

    toy_train(tmp_path, toy_stages(TWO_A_STEP, recording), accumulate=2)
    assert seen == [*range(14), *range(10)]


class KilledError(Exception):
    """Stands for whatever ends a process between two batches."""


@pytest.mark.parametrize("batch", [1, 2, 7, 13])
def test_a_run_killed_between_two_batches(tmp_path, batch):
    def killed_before(first, rank, world):
        for found in TWO_A_STEP(first, rank, world):
            if found.step == batch:
                raise KilledError
            yield found

    toy_train(tmp_path / "whole", toy_stages(TWO_A_STEP), accumulate=2)
    options = {"accumulate": 2, "checkpoint_seconds": 0}
    with pytest.raises(KilledError):
        toy_train(tmp_path / "killed", toy_stages(killed_before), **options)
    toy_train(tmp_path / "killed", toy_stages(TWO_A_STEP), resume=True, **options)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_it_is_a_setting_of_the_run(tmp_path):
    toy_train(tmp_path)
    with pytest.raises(GeosetError, match="other settings: accumulate was 1, now it is 2"):
        toy_train(tmp_path, toy_stages(TWO_A_STEP), accumulate=2, resume=True)


def count_reductions(out):
    """Write down how often the gradients of a run of two processes are reduced."""
    reduced, hooked = [], []

    def hook(state, bucket):
        reduced.append(1)
        world = torch.distributed.get_world_size()
        future = torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
        return future.then(lambda done: done.value()[0] / world)

    def hooking(model, batch, generator):
        if not hooked:
            hooked.append(model._forward_module.register_comm_hook(None, hook))
        return compute(model, batch, generator)

    toy_train(out, toy_stages(TWO_A_STEP, hooking)[:1], devices=2, accumulate=2)
    (out / "reductions").write_text(str(len(reduced)))


def test_processes_reduce_gradients_once_a_step(start_together, tmp_path):
    assert exit_codes(start_together(count_reductions, tmp_path)) == [0, 0]
    assert (tmp_path / "reductions").read_text() == "7"


def test_two_processes_killed_and_resumed(start_together, tmp_path):
    run = partial(start_together, toy_run.slow_run, devices=2, accumulate=2)
    assert exit_codes(run(tmp_path / "whole", 4, 0.0)) == [0, 0]
    pair = run(tmp_path / "killed", 4, 0.1)
    while len(list((tmp_path / "killed/checkpoints").glob("step-*"))) < 2:
        pair[0].join(0.01)
    for process in pair:
        process.kill()
    exit_codes(pair)
    assert exit_codes(run(tmp_path / "killed", 4, 0.0)) == [0, 0]
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
