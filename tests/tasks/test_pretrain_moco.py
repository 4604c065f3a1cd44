import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import tiny_moco as program
import torch
from safetensors.torch import load_file
from tiny_moco import AS_THEY_ARE, SETTINGS, tiny_moco
from tiny_run import untimed_log, weights

import geoset
from geoset import GeosetError, PreparedScene
from geoset.models.initial import load_initial
from geoset.models.network import build_network
from geoset.recipes import Hardware, PretrainRecipe, StageSettings
from geoset.tasks import moco as task
from geoset.tasks.pretrain import build_pretraining
from geoset.training.checkpoint import checkpoint_path
from geoset.training.log import read_log

STEPS = SETTINGS.steps


@pytest.fixture(scope="module")
def whole(prepared_rooms, tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    assert tiny_moco(prepared_rooms, run) == run / "model.safetensors"
    return run


def state_after(run, step):
    """All tensors of the checkpoint after `step` steps."""
    return load_file(checkpoint_path(run, step) / "model.safetensors")


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def test_a_run_leaves_its_files(whole, prepared_rooms):
    assert {path.name for path in whole.iterdir()} == {
        "run.json",
        "log.jsonl",
        "tensorboard",
        "checkpoints",
        "stage-moco.safetensors",
        "model.safetensors",
        "curves.png",
    }
    settings = json.loads((whole / "run.json").read_text())["plan"]["settings"]
    assert settings["moco"] == json.loads(json.dumps(asdict(SETTINGS)))
    assert settings["scenes"] == {
        name: PreparedScene(prepared_rooms / name).info["files"]["frames.tar"] for name in "ab"
    }


def test_log_rows(whole):
    rows = read_log(whole)
    assert [(row["step"], row["stage"]) for row in rows] == [(k + 1, "moco") for k in range(STEPS)]
    for row in rows:
        assert set(row) == {
            *("step", "stage", "loss", "rank", "lr", "frames", "wait_s", "step_s"),
            *("moco/chance", "moco/positive", "moco/negative"),
        }
        assert row["frames"] == 8  # two views of four
        assert row["moco/chance"] == pytest.approx(row["loss"] / math.log(7), rel=1e-5)
        assert -1 <= row["moco/negative"] < row["moco/positive"] <= 1
        assert 1 <= row["rank"] <= 16


def test_the_encoder_is_trained_and_the_decoder_stays_as_drawn(whole):
    model = geoset.load_model(whole)
    assert model.config == {"encoder": "resnet18", "out_channels": 8, "width": 1 / 16}
    drawn, _, _ = task.build_moco(SETTINGS, seed=0)
    for name, value in drawn.named_parameters():
        trained = name.startswith("encoder.")
        assert torch.equal(model.get_parameter(name), value) != trained, name
    query = state_after(whole, STEPS)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(query[f"query.encoder.{name}"], value)


def test_the_encoder_starts_as_in_any_other_pretraining_of_the_seed():
    image, network, report = task.build_moco(SETTINGS, seed=3)
    recipe = PretrainRecipe((StageSettings("view", steps=1, view=1.0),), SETTINGS.model)
    other = build_pretraining(recipe, seed=3)[0].image
    assert report == "weights: drawn at random"
    for name, value in other.state_dict().items():
        assert torch.equal(image.state_dict()[name], value)
    assert torch.equal(network.query.encoder.conv1.weight, other.encoder.conv1.weight)


def test_fine_tuning_takes_encoder_and_decoder(whole):
    network = build_network("resnet18", 8, 1 / 16)
    load_initial(network, str(whole / "model.safetensors"))
    for name, value in geoset.load_model(whole).state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_training_goes_on_from_given_weights(prepared_rooms, whole, tmp_path):
    model = replace(SETTINGS.model, weights=str(whole / "model.safetensors"))
    still = replace(SETTINGS.optimizer, lr=1e-12)
    tiny_moco(prepared_rooms, tmp_path, replace(SETTINGS, model=model, optimizer=still, steps=1))
    before, after = geoset.load_model(whole), geoset.load_model(tmp_path)
    for name, value in before.named_parameters():
        torch.testing.assert_close(after.get_parameter(name), value, rtol=0, atol=1e-9)


def test_the_queue_holds_the_keys_of_the_last_steps(whole):
    """Four at a step into six places: 0-3; 4, 5, 0, 1; 2-5; 0-3."""
    before, after = state_after(whole, STEPS - 1), state_after(whole, STEPS)
    assert (before["oldest"].item(), after["oldest"].item()) == (0, 4)
    changed = (before["queue"] != after["queue"]).any(dim=1)
    assert changed.tolist() == [True] * 4 + [False] * 2
    torch.testing.assert_close(after["queue"].norm(dim=1), torch.ones(6))


def test_the_keys_follow_the_weights_of_the_step_before(whole):
    before, after = state_after(whole, STEPS - 1), state_after(whole, STEPS)
    _, network, _ = task.build_moco(SETTINGS, seed=0)
    for name, _ in network.query.named_parameters():
        expected = 0.9 * before[f"key.{name}"] + 0.1 * before[f"query.{name}"]
        torch.testing.assert_close(after[f"key.{name}"], expected)
        assert not torch.equal(after[f"query.{name}"], before[f"query.{name}"]), name


@pytest.mark.parametrize("step", range(STEPS))
def test_a_run_stopped_at_any_step_resumes_to_the_same(
    prepared_rooms, whole, tmp_path, monkeypatch, step
):
    compute = task.compute_loss

    def killed(*arguments):
        found = compute(*arguments)  # the queue has the keys of the step already
        if len(read_log(tmp_path)) == step:
            raise KilledError
        return found

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(task, "compute_loss", killed)
        tiny_moco(prepared_rooms, tmp_path)
    assert len(read_log(tmp_path)) == step
    tiny_moco(prepared_rooms, tmp_path, resume=True)
    assert weights(tmp_path) == weights(whole)
    assert untimed_log(tmp_path) == untimed_log(whole)
    last, expected = state_after(tmp_path, STEPS), state_after(whole, STEPS)
    assert last.keys() == expected.keys()
    assert all(torch.equal(last[name], value) for name, value in expected.items())


def test_workers_do_not_change_what_is_trained(prepared_rooms, whole, tmp_path):
    hardware = Hardware("cpu", workers=2, checkpoint_seconds=1e9)
    tiny_moco(prepared_rooms, tmp_path, hardware=hardware)
    assert weights(tmp_path) == weights(whole)


def test_seeds_differ(prepared_rooms, whole, tmp_path):
    tiny_moco(prepared_rooms, tmp_path, seed=1)
    assert read_log(tmp_path)[0]["loss"] != read_log(whole)[0]["loss"]
    assert weights(tmp_path)["model.safetensors"] != weights(whole)["model.safetensors"]


def test_the_loss_falls_below_chance(prepared_rooms, tmp_path):
    """It starts low, as nobody is like random keys, and is at chance, 1, once keys fill the queue.

    Of twelve frames with crops that are much alike, the queue holds the six keys of the step
    before, now and then one of the query's own frame.
    """
    settings = replace(
        SETTINGS,
        model=replace(SETTINGS.model, width=1 / 8),
        steps=30,
        batch=6,
        batchnorm_images=6,
        crop_scale=(0.8, 1.0),
        augmentation=AS_THEY_ARE,
    )
    tiny_moco(prepared_rooms, tmp_path, settings, hardware=Hardware("cpu", workers=0))
    course = [row["moco/chance"] for row in read_log(tmp_path)]
    assert course[0] < 0.3
    assert sum(course[1:4]) / 3 > 0.85
    assert sum(course[-8:]) / 8 < 0.7


def test_epochs_are_counted_in_batches(prepared_rooms, tmp_path, capsys):
    """Twelve frames, five at a step."""
    settings = replace(SETTINGS, epochs=1.5, steps=None, batch=5, queue=12)
    tiny_moco(prepared_rooms, tmp_path, settings)
    assert len(read_log(tmp_path)) == 3
    printed = capsys.readouterr().out
    assert "2 scenes, 12 frames, 2 steps an epoch; 3 steps\n" in printed
    assert (
        "the queue of 12 keys is longer than an epoch of 12 frames: a frame's own keys of former "
        "epochs are among its negatives. Take a shorter queue, or prepare more frames\n"
    ) in printed


def test_a_short_queue_is_nothing_to_tell_of(prepared_rooms):
    scenes = [PreparedScene(prepared_rooms / name) for name in "ab"]
    assert task.stage_of(SETTINGS, scenes, 0).frames_per_batch == 8


def test_other_settings_are_refused(prepared_rooms, whole):
    with pytest.raises(GeosetError, match=r"settings\.moco\.temperature was 0\.2, now it is 0\.3"):
        tiny_moco(prepared_rooms, whole, replace(SETTINGS, temperature=0.3), resume=True)
    with pytest.raises(GeosetError, match=r"already holds a run\. Continue it with --resume, or"):
        tiny_moco(prepared_rooms, whole)


def test_frames_that_devices_cannot_share(prepared_rooms, tmp_path):
    with pytest.raises(GeosetError, match="batch is 4, expected a multiple of 3: the devices"):
        tiny_moco(prepared_rooms, tmp_path, devices=3)
    assert not list(tmp_path.iterdir())


def test_no_scene(tmp_path):
    with pytest.raises(GeosetError, match=r"holds no prepared scene .* make one with: geoset prep"):
        tiny_moco(tmp_path, tmp_path / "run")


@pytest.mark.slow
def test_two_processes_learn_what_one_does(prepared_rooms, tmp_path):
    """Each has one of the two groups that BatchNorm sees; then only sums are rounded otherwise."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launch, program.__file__, prepared_rooms, tmp_path / "two"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([*map(str, command)], env=environment).returncode == 0
    tiny_moco(prepared_rooms, tmp_path / "one", replace(SETTINGS, augmentation=AS_THEY_ARE))
    for one, two in zip(*(read_log(tmp_path / name) for name in ("one", "two")), strict=True):
        for name in ("loss", "moco/chance", "moco/positive", "moco/negative"):
            assert two[name] == pytest.approx(one[name], abs=2e-3), name
    one, two = (state_after(tmp_path / name, STEPS) for name in ("one", "two"))
    torch.testing.assert_close(one["queue"], two["queue"], rtol=0, atol=5e-3)
    assert one["oldest"] == two["oldest"]
