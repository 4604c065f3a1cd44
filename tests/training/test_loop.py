import json
import resource
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy_run import Batch, compute, toy_batches, toy_model, toy_stages, toy_train

from geoset import GeosetError
from geoset.training import schedule
from geoset.training.checkpoint import newest_checkpoint
from geoset.training.log import read_log
from geoset.training.loop import train
from geoset.training.stage import Stage

TIMES = ("wait_s", "step_s")


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def killed_before(stage_step: int):
    """Batches that end the process when the given step of a stage asks for its batch."""

    def batches(first, rank, world):
        for batch in toy_batches(first, rank, world):
            if batch.step == stage_step:
                raise KilledError
            yield batch

    return batches


def untimed_log(run):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_log(run)]


def assert_same_run(run, other):
    for name in ("stage-first.safetensors", "stage-second.safetensors", "model.safetensors"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert untimed_log(run) == untimed_log(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    toy_train(run)
    return run


def test_the_run_learns_and_leaves_its_files(whole):
    rows = read_log(whole)
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["stage"] for row in rows] == ["first"] * 7 + ["second"] * 5
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert {path.name for path in whole.iterdir()} == {
        "run.json",
        "log.jsonl",
        "checkpoints",
        "stage-first.safetensors",
        "stage-second.safetensors",
        "model.safetensors",
    }
    run = json.loads((whole / "run.json").read_text())
    assert run["plan"]["settings"] == {"recipe": "toy", "sizes": [4, 8]}
    assert run["plan"]["seed"] == 0
    assert run["versions"]["torch"] == torch.__version__


def test_the_model_is_trained_in_place(tmp_path):
    model, path = toy_train(tmp_path)
    weights = load_file(path)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(model[0].weight, toy_model()[0].weight)


def test_stages_follow_their_own_schedules(whole):
    """SGD: 0.05 * (1 - step/8) ** 0.9. AdamW: 0.005, cosine over 5, warm-up factors 1/3, 2/3, 1."""
    rates = [row["lr"] for row in read_log(whole)]
    assert rates[:2] == pytest.approx([0.05, 0.05 * 0.875**0.9])
    assert rates[7:9] == pytest.approx([0.005 / 3, 0.005 * 2 / 3 * 0.904508497])


def test_batchnorm_follows_the_schedule_of_each_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "SHORTEST_STAGE_FOR_BATCHNORM_DECAY", 21)
    seen = []

    def recording(model, batch, generator):
        seen.extend(m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm1d))
        return compute(model, batch, generator)

    stages = [
        replace(stage, optimizer=replace(stage.optimizer, batchnorm_decay=True))
        for stage in toy_stages(compute=recording, steps=(22, 21))
    ]
    toy_train(tmp_path, stages)
    assert seen == [0.5] * 20 + [0.25] * 2 + [0.5] * 20 + [0.25]


def test_a_plain_loop_gives_the_same_weights(tmp_path):
    """Without dropout and noise, the engine is SGD on the batches in order."""

    def plain_compute(model, batch, generator):
        return {"loss": ((model(batch.x) - batch.y) ** 2).mean()}

    def linear():
        torch.manual_seed(3)
        return nn.Linear(4, 1)

    stage = toy_stages(compute=plain_compute)[0]
    trained = linear()
    train(
        trained,
        [stage],
        tmp_path,
        settings={},
        seed=0,
        save_weights=lambda model, path: None,
        accelerator="cpu",
        tensorboard=False,
    )
    expected = linear()
    optimizer = torch.optim.SGD(expected.parameters(), lr=1.0, momentum=0.9, dampening=0.1)
    for step, batch in zip(range(7), toy_batches(0, 0, 1), strict=False):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 8) ** 0.9
        optimizer.zero_grad()
        ((expected(batch.x) - batch.y) ** 2).mean().backward()
        optimizer.step()
    assert torch.equal(trained.weight, expected.weight)


@pytest.mark.parametrize("stage_step", [0, 1, 4, 6])
@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
def test_a_killed_run_resumes_to_the_same_weights_and_log(
    tmp_path, whole, stage_step, checkpoint_seconds
):
    with pytest.raises(KilledError):
        toy_train(
            tmp_path,
            toy_stages(killed_before(stage_step)),
            checkpoint_seconds=checkpoint_seconds,
        )
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_run_killed_in_its_second_stage(tmp_path, whole):
    first, second = toy_stages()[0], toy_stages(killed_before(3))[1]
    with pytest.raises(KilledError):
        toy_train(tmp_path, [first, second], checkpoint_seconds=0)
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_damaged_checkpoint_costs_steps_but_not_the_run(tmp_path, whole):
    with pytest.raises(KilledError):
        toy_train(tmp_path, toy_stages(killed_before(4)), checkpoint_seconds=0)
    (tmp_path / "checkpoints/step-00000004/state.pt").write_bytes(b"")
    with pytest.warns(UserWarning, match="going back to the one before"):
        toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_damaged_checkpoint_is_written_anew(tmp_path):
    def run_to_step_four():
        with pytest.raises(KilledError):
            toy_train(tmp_path, toy_stages(killed_before(4)), resume=True, checkpoint_seconds=0)

    run_to_step_four()
    folder = tmp_path / "checkpoints/step-00000004"
    (folder / "state.pt").write_bytes(b"")
    with pytest.warns(UserWarning, match="going back to the one before"):
        run_to_step_four()
    assert newest_checkpoint(tmp_path) == (folder, 4)


def test_every_step_has_randomness_of_its_own(tmp_path):
    draws = []

    def recording_compute(model, batch, generator):
        draws.append((torch.rand((), generator=generator).item(), torch.rand(()).item()))
        return compute(model, batch, generator)

    toy_train(tmp_path / "once", toy_stages(compute=recording_compute))
    assert len({pair[0] for pair in draws}) == 12
    toy_train(tmp_path / "again", toy_stages(compute=recording_compute))
    assert draws[:12] == draws[12:]


def test_the_model_is_in_training_mode(tmp_path):
    def checking_compute(model, batch, generator):
        assert all(module.training for module in model.modules())
        return compute(model, batch, generator)

    train(
        toy_model().eval(),
        toy_stages(compute=checking_compute),
        tmp_path,
        settings={},
        seed=0,
        save_weights=lambda model, path: model.eval(),
        accelerator="cpu",
        tensorboard=False,
    )


def test_step_randomness_depends_on_the_seed(tmp_path, whole):
    toy_train(tmp_path, seed=1)
    assert read_log(tmp_path)[0]["loss"] != read_log(whole)[0]["loss"]


def test_a_folder_with_a_run_is_refused(whole):
    before = (whole / "log.jsonl").read_bytes()
    expected = (
        f"{whole} already holds a run. Continue it with --resume, or choose another folder "
        "with --out."
    )
    with pytest.raises(GeosetError) as error:
        toy_train(whole)
    assert str(error.value) == expected
    assert (whole / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"settings": {"recipe": "paper", "sizes": (4, 8)}},
            "settings.recipe was 'toy', now it is 'paper'",
        ),
        ({"settings": {"recipe": "toy", "sizes": (4, 9)}}, "settings.sizes.1 was 8, now it is 9"),
        ({"settings": {"recipe": "toy"}}, r"settings.sizes was \[4, 8\], now it is None"),
        ({"seed": 5}, "seed was 0, now it is 5"),
        ({"stages": toy_stages(lr=1.0)}, "stages.0.optimizer.lr was 0.05, now it is 1.0"),
        ({"stages": toy_stages(steps=(7, 6))}, "stages.1.steps was 5, now it is 6"),
    ],
)
def test_other_settings_are_refused(whole, changes, message):
    with pytest.raises(GeosetError, match=f"cannot be resumed with other settings: {message}"):
        toy_train(whole, resume=True, **changes)


def test_a_finished_run_says_so(whole, capsys):
    _, path = toy_train(whole, resume=True)
    assert path == whole / "model.safetensors"
    assert f"{whole} is finished: 12 of 12 steps. Nothing to resume." in capsys.readouterr().out


def test_resume_without_a_run_starts_one(tmp_path, whole):
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def spoiled_compute(model, batch, generator):
    terms = compute(model, batch, generator)
    return terms | {"loss": terms["loss"] * (float("nan") if batch.step == 4 else 1.0)}


@pytest.mark.parametrize(
    ("checkpoint_seconds", "kept"),
    [(0, r"The last good checkpoint is .*step-00000004\."), (1e9, "No checkpoint exists yet.")],
)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, checkpoint_seconds, kept):
    expected = (
        r"stage 'first', step 5 of 7: the loss is nan, with a learning rate of 0\.0268\. "
        rf"Its batch: scene toy, frame 4\. {kept} Start again with a lower learning rate in "
        r"another folder \(--out\); or mend what is wrong with the data, and continue with "
        r"--resume\."
    )
    with pytest.raises(GeosetError, match=expected):
        toy_train(
            tmp_path,
            toy_stages(compute=spoiled_compute),
            checkpoint_seconds=checkpoint_seconds,
        )


def test_mended_data_lets_the_run_continue(tmp_path, whole):
    with pytest.raises(GeosetError):
        toy_train(tmp_path, toy_stages(compute=spoiled_compute), checkpoint_seconds=0)
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The loss of step 3 is finite, but its gradient, of a square root at 0, is not."""

    def compute_with_bad_gradient(model, batch, generator):
        terms = compute(model, batch, generator)
        bad = (model(batch.x) * 0).sum().sqrt() if batch.step == 2 else 0
        return terms | {"loss": terms["loss"] + bad}

    expected = (
        r"step 3 of 7: it made a weight infinite or NaN\. Its batch: scene toy, frame 2\. The"
    )
    with pytest.raises(GeosetError, match=expected):
        toy_train(tmp_path, toy_stages(compute=compute_with_bad_gradient), checkpoint_seconds=0)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000002",
    ]


def test_batches_that_end_too_early(tmp_path):
    def three(first, rank, world):
        return iter([Batch(torch.ones(2, 4), torch.ones(2, 1), step) for step in range(3)])

    with pytest.raises(GeosetError, match="stage 'first': its batches ended after 3 of 7 steps"):
        toy_train(tmp_path, toy_stages(three))


def test_a_full_disk_that_shows_in_the_log(tmp_path, whole, limit_file_size):
    """It ends the run with the step after, or with the first that is saved."""
    out = tmp_path / "run"
    steps = []

    def compute_on_a_full_disk(model, batch, generator):
        steps.append(batch.step)
        if batch.step == 2:
            limit_file_size(400)  # three rows of about 150 bytes
        return compute(model, batch, generator)

    stages = toy_stages(compute=compute_on_a_full_disk)
    with pytest.raises(GeosetError, match=r"log\.jsonl: cannot be written \(.*make room, then run"):
        toy_train(out, stages, checkpoint_seconds=1e9)
    assert steps == [0, 1, 2, 3]
    assert [row["step"] for row in read_log(out)] == [1, 2]
    limit_file_size(resource.RLIM_INFINITY)
    toy_train(out, resume=True)
    assert_same_run(out, whole)


def test_a_seed_below_zero_leaves_no_run_behind(tmp_path):
    with pytest.raises(GeosetError) as error:
        toy_train(tmp_path / "run", seed=-1)
    assert str(error.value) == "seed is -1, expected 0 or more"
    assert not (tmp_path / "run").exists()


def test_a_stage_without_steps():
    with pytest.raises(GeosetError, match="stage 'view' has 0 steps; expected 1 or more"):
        Stage("view", 0, toy_stages()[0].optimizer, toy_batches, compute, 1)
