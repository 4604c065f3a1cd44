import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tiny_run import ADAMW, RECIPE, tiny_pretrain, untimed_log, weights, with_steps

import geoset
from geoset import GeosetError, PreparedScene
from geoset.data.pairs import PairBatches
from geoset.files import digest
from geoset.recipes import GeoSettings, Hardware, Photometric, StageSettings
from geoset.tasks import pretrain as task
from geoset.tasks.pretrain import build_pretraining, pretrain, stages_of
from geoset.training.log import read_log

BESIDE = {"step", "stage", "loss", "rank", "lr", "frames", "wait_s", "step_s"}


@pytest.fixture(scope="module")
def whole(prepared_rooms, tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    tiny_pretrain(prepared_rooms, run)
    return run


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def killed_before(step):
    """A loss that ends the process instead of taking a step, counted from 0 over both stages."""
    compute, count = task.compute_losses, iter(range(step + 1))

    def compute_or_die(*arguments):
        if next(count) == step:
            raise KilledError
        return compute(*arguments)

    return compute_or_die


def batches_seen(monkeypatch, *arguments, **options):
    """Pre-train, and return the frames of each batch in the order of training."""
    seen, compute = [], task.compute_losses

    def recording(recipe, stage, across_ranks, model, batch, generator):
        seen.append(batch.frames)
        return compute(recipe, stage, across_ranks, model, batch, generator)

    with monkeypatch.context() as patch:
        patch.setattr(task, "compute_losses", recording)
        tiny_pretrain(*arguments, **options)
    return seen


def test_a_run_leaves_its_files(whole, prepared_rooms):
    assert {path.name for path in whole.iterdir()} == {
        "run.json",
        "log.jsonl",
        "tensorboard",
        "checkpoints",
        "stage-view.safetensors",
        "stage-sets.safetensors",
        "model.safetensors",
        "curves.png",
    }
    settings = json.loads((whole / "run.json").read_text())["plan"]["settings"]
    assert settings["recipe"] == json.loads(json.dumps(asdict(RECIPE)))
    assert list(settings["scenes"]) == ["a", "b"]
    for name, files in settings["scenes"].items():
        scene = geoset.PreparedScene(prepared_rooms / name)
        assert files == scene.info["files"] | {
            "sets/geometric.npy": digest(scene.path / "sets/geometric.npy")
        }


def test_log_rows(whole):
    rows = read_log(whole)
    assert [(row["step"], row["stage"]) for row in rows] == [
        (1, "view"), (2, "view"), (3, "view"), (4, "sets"), (5, "sets"), (6, "sets"),
    ]  # fmt: skip
    own = {"view": {"view/pairs without match"}, "sets": {"sets/pair"}}
    for row in rows:
        term = row["stage"]
        own_names = {f"{term}/{name}" for name in ("chance", "positive", "negative")} | own[term]
        assert set(row) == BESIDE | own_names
        assert row["frames"] == 8
        assert -1 <= row[f"{term}/negative"] <= 1
        assert -1 <= row[f"{term}/positive"] <= 1
        assert 1 <= row["rank"] <= 16
    for row in rows[:3]:  # every pair overlaps, and has 128 matches: chance is log 128
        assert row["view/pairs without match"] == 0
        assert row["view/chance"] == pytest.approx(row["loss"] / 4.8520, rel=1e-4)
    for row in rows[3:]:
        assert row["sets/pair"] * 4 % 1 == 0
        assert 2 < row["loss"] / row["sets/chance"] < 6


def test_weights_are_those_of_networks_that_can_be_used(whole):
    final, view = geoset.load_model(whole), geoset.load_model(whole / "stage-view.safetensors")
    assert final.config == {"encoder": "resnet18", "out_channels": 16, "width": 0.125}
    assert weights(whole)["model.safetensors"] == weights(whole)["stage-sets.safetensors"]
    image = torch.rand(1, 3, 48, 64)
    assert final(image).shape == (1, 16, 24, 32)
    assert not torch.allclose(final(image), view(image), atol=1e-3)


@pytest.mark.parametrize("stage", RECIPE.stages, ids=lambda stage: stage.name)
def test_each_loss_falls_below_chance(prepared_rooms, tmp_path, stage):
    """Chance is 1. Over 128 keys that are at right angles to the query, a perfect view loss is
    log(1 + 127 exp(-1 / 0.4)) / log(128) = 0.50; these few steps go a third of the way.
    """
    plain = Photometric(jitter_probability=0, grayscale_probability=0, blur_probability=0)
    recipe = replace(RECIPE, stages=(replace(stage, steps=40),), augmentation=plain)
    tiny_pretrain(prepared_rooms, tmp_path, recipe, hardware=Hardware("cpu", workers=0))
    course = [row[f"{stage.name}/chance"] for row in read_log(tmp_path)]
    assert sum(course[:2]) / 2 > 0.95
    assert sum(course[-8:]) / 8 < 0.9


@pytest.mark.parametrize("step", range(6))
def test_a_run_stopped_at_any_step_resumes_to_the_same(
    prepared_rooms, whole, tmp_path, monkeypatch, step
):
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(task, "compute_losses", killed_before(step))
        tiny_pretrain(prepared_rooms, tmp_path)
    assert len(read_log(tmp_path)) == step
    tiny_pretrain(prepared_rooms, tmp_path, resume=True)
    assert weights(tmp_path) == weights(whole)
    assert untimed_log(tmp_path) == untimed_log(whole)


def test_workers_and_checkpoints_do_not_change_what_is_trained(prepared_rooms, whole, tmp_path):
    hardware = Hardware("cpu", workers=2, checkpoint_seconds=1e9)
    tiny_pretrain(prepared_rooms, tmp_path, hardware=hardware)
    assert weights(tmp_path) == weights(whole)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-00000003",
        "step-00000006",
    ]


def test_stage_2_goes_on_in_the_sequence_of_pairs(prepared_rooms, tmp_path, monkeypatch):
    seen = batches_seen(monkeypatch, prepared_rooms, tmp_path)
    batches = PairBatches([PreparedScene(prepared_rooms / name) for name in "ab"], 4, seed=0)
    assert seen == [batches[step].frames for step in range(6)]


def test_depth_is_read_where_a_loss_needs_it(prepared_rooms):
    scenes = [PreparedScene(prepared_rooms / name) for name in "ab"]
    network, _ = build_pretraining(RECIPE, 0)
    first, second = (
        next(stage.batches(0, 0, 1)) for stage in stages_of(RECIPE, scenes, network, 0)
    )
    assert (first.depth > 0).any()
    assert second.depth is None and len(second.matches) == 1


def test_a_run_goes_on_from_one_of_its_own_settings(prepared_rooms, tmp_path):
    first = tmp_path / "first"
    alone = replace(RECIPE, stages=RECIPE.stages[:1])
    tiny_pretrain(prepared_rooms, first, alone)
    begin = {"begin_with": first}
    for other, name in (
        (replace(RECIPE, temperature=0.5), "recipe.temperature: 0.4, expected 0.5"),
        (
            replace(RECIPE, stages=(replace(RECIPE.stages[0], view=0.5), RECIPE.stages[1])),
            "recipe.stages.0.view: 1.0, expected 0.5",
        ),
    ):
        with pytest.raises(GeosetError, match=f"was trained with another {name}"):
            tiny_pretrain(prepared_rooms, tmp_path / "out", other, **begin)
    with pytest.raises(GeosetError, match=r"another scenes\.b: .*, expected None"):
        tiny_pretrain(prepared_rooms / "a", tmp_path / "out", **begin)
    assert not (tmp_path / "out").exists()
    of_sets = replace(RECIPE, min_pixels=5, aggregation="random_pixel")  # which View knows not of
    tiny_pretrain(prepared_rooms, tmp_path / "out", of_sets, **begin)


def test_epochs_are_counted_in_batches(prepared_rooms, tmp_path, capsys):
    batches = PairBatches([PreparedScene(prepared_rooms / name) for name in "ab"], 4, seed=0)
    stages = (
        replace(RECIPE.stages[0], steps=None, epochs=2),
        replace(RECIPE.stages[1], steps=None, epochs=0.01),
    )
    tiny_pretrain(prepared_rooms, tmp_path, replace(RECIPE, stages=stages))
    steps = batches.steps_per_epoch
    assert (
        f"2 scenes, {len(batches.pairs)} pairs, {steps} steps an epoch\n"
        f"stage view: {2 * steps} steps of 1 x view\n"
        "stage sets: 1 steps of 1 x sets\n"
    ) in capsys.readouterr().out
    assert len(read_log(tmp_path)) == 2 * steps + 1


def test_seeds_differ(prepared_rooms, whole, tmp_path):
    tiny_pretrain(prepared_rooms, tmp_path, seed=1)
    assert set(weights(tmp_path)) == set(weights(whole))
    assert all(weights(tmp_path)[name] != data for name, data in weights(whole).items())
    assert read_log(tmp_path)[0]["loss"] != read_log(whole)[0]["loss"]


EVERYTHING = replace(
    RECIPE,
    stages=(
        StageSettings("all", steps=2, view=1.0, geo=1.0, depth=1.0, sets=1.0, optimizer=ADAMW),
        StageSettings("geo", steps=2, geo=1.0, optimizer=ADAMW),
    ),
    batch_pairs=2,
    accumulate=2,
    geo=GeoSettings("projection", samples=64, voxel_size=0.1, width=0.125),
    aggregation="random_pixel",
    precision="bf16-mixed",
)


def test_a_run_of_every_loss_in_parts_resumes_to_the_same(prepared_rooms, tmp_path, monkeypatch):
    """Also where a micro-batch of a step is done and the other is not."""
    whole = tmp_path / "whole"
    tiny_pretrain(prepared_rooms, whole, EVERYTHING)
    course = untimed_log(whole)
    assert [row["stage"] for row in course] == ["all", "all", "geo", "geo"]
    assert all(row["frames"] == 4 for row in course)
    for calls in (1, 2, 5):
        run = tmp_path / str(calls)
        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(task, "compute_losses", killed_before(calls))
            tiny_pretrain(prepared_rooms, run, EVERYTHING)
        assert len(read_log(run)) == calls // 2
        tiny_pretrain(prepared_rooms, run, EVERYTHING, resume=True)
        assert weights(run) == weights(whole)
        assert untimed_log(run) == course


def test_training_goes_on_from_given_weights(prepared_rooms, whole, tmp_path, capsys):
    """A learning rate of next to nothing leaves them as they are."""
    start = whole / "model.safetensors"
    model = replace(RECIPE.model, weights=str(start))
    still = replace(RECIPE.stages[1], steps=1, optimizer=replace(ADAMW, lr=1e-12))
    tiny_pretrain(prepared_rooms, tmp_path, replace(RECIPE, model=model, stages=(still,)))
    assert str(start) in capsys.readouterr().out
    before, after = geoset.load_model(whole), geoset.load_model(tmp_path)
    for name, value in before.named_parameters():
        torch.testing.assert_close(after.get_parameter(name), value, rtol=0, atol=1e-9)


def test_scenes_without_depth_for_a_loss_that_needs_it(prepared_rooms, tmp_path):
    for name in "ab":
        shutil.copytree(prepared_rooms / name, tmp_path / name)
        info = json.loads((tmp_path / name / "scene.json").read_text())
        (tmp_path / name / "scene.json").write_text(json.dumps(info | {"has_depth": False}))
    with pytest.raises(GeosetError) as error:
        tiny_pretrain(tmp_path, tmp_path / "run")
    assert str(error.value) == (
        "none of the 2 scenes has depth images, which the losses view need. Set their weights to "
        "0 (--stages.0.view 0), or train on sets alone (--recipe sets_only)"
    )


def test_a_folder_with_a_run_is_refused(prepared_rooms, whole):
    with pytest.raises(GeosetError, match=r"already holds a run\. Continue it with --resume, or"):
        tiny_pretrain(prepared_rooms, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.2}, "settings.recipe.temperature was 0.4, now it is 0.2"),
        ({"batch_pairs": 2}, "settings.recipe.batch_pairs was 4, now it is 2"),
        ({"stages": with_steps(3, 9).stages}, "stages.1.steps was 3, now it is 9"),
        (
            {"augmentation": replace(RECIPE.augmentation, hue=0.0)},
            "settings.recipe.augmentation.hue was 0.1, now it is 0.0",
        ),
    ],
)
def test_another_recipe_is_refused(prepared_rooms, whole, changes, message):
    with pytest.raises(GeosetError, match=f"cannot be resumed with other settings: {message}"):
        tiny_pretrain(prepared_rooms, whole, replace(RECIPE, **changes), resume=True)


def test_other_scenes_are_refused(prepared_rooms, whole):
    with pytest.raises(GeosetError, match=r"resumed with other settings: settings\.scenes"):
        tiny_pretrain(prepared_rooms / "a", whole, resume=True)


def test_the_order_in_which_scenes_are_named_does_not_matter(prepared_rooms, whole, tmp_path):
    hardware = Hardware("cpu", workers=0)
    named = [prepared_rooms / "b", prepared_rooms / "a", prepared_rooms]
    pretrain(named, tmp_path, RECIPE, hardware=hardware)
    assert weights(tmp_path) == weights(whole)


def test_other_sets_are_refused(prepared_rooms, tmp_path):
    shutil.copytree(prepared_rooms, tmp_path / "rooms")
    tiny_pretrain(tmp_path / "rooms", tmp_path / "run", with_steps(1, 1))
    file = tmp_path / "rooms/a/sets/geometric.npy"
    np.save(file, np.load(file) // 2)
    with pytest.raises(GeosetError, match=r"settings\.scenes\.a\.sets/geometric\.npy\.sha256 was"):
        tiny_pretrain(tmp_path / "rooms", tmp_path / "run", with_steps(1, 1), resume=True)


def test_two_scenes_of_one_name(prepared_rooms, tmp_path):
    shutil.copytree(prepared_rooms / "a", tmp_path / "a")
    with pytest.raises(GeosetError) as error:
        pretrain([prepared_rooms, tmp_path], tmp_path / "run", RECIPE)
    assert str(error.value) == (
        f"{prepared_rooms / 'a'} and {tmp_path / 'a'}: two scenes of one name, by which a run "
        "tells them apart; rename the folder of one"
    )


def test_pairs_that_devices_cannot_share(prepared_rooms, tmp_path):
    with pytest.raises(GeosetError, match="batch_pairs is 4, expected a multiple of 3: the dev"):
        tiny_pretrain(prepared_rooms, tmp_path, hardware=Hardware("cpu", devices=3))


def test_no_scene(tmp_path):
    with pytest.raises(GeosetError, match=r"holds no prepared scene .* make one with: geoset prep"):
        tiny_pretrain(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
