"""Every task runs on a GPU, as far as that shows without one, and finds what it finds on a CPU."""

import importlib
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import patches
import pytest
import shapes
import torch
from PIL import Image
from test_frozen import Halves
from tiny_moco import tiny_moco
from tiny_run import RECIPE, tiny_pretrain, untimed_log, weights

from geoset.models.load import save_model
from geoset.models.resunet import ResUNet
from geoset.prepare.scene import PreparedScene
from geoset.recipes import GeoSettings, Hardware, OptimizerSettings, StageSettings
from geoset.tasks import pretrain_step
from geoset.tasks.finetuned import predict_images
from geoset.tasks.frozen import evaluate_frozen
from geoset.tasks.set_features import set_features
from geoset.training.loop import _Loop
from pretend_gpu import pretend_gpu, waits

GPU = Hardware("gpu", workers=0, checkpoint_seconds=0)
SGD = OptimizerSettings(kind="sgd", lr=0.01)  # AdamW makes much of what rounding does
PLAIN = replace(RECIPE, stages=tuple(replace(stage, optimizer=SGD) for stage in RECIPE.stages))
ALL_LOSSES = replace(
    RECIPE,
    stages=(StageSettings("all", steps=2, view=1.0, geo=1.0, depth=1.0, sets=1.0, optimizer=SGD),),
    geo=GeoSettings("projection", samples=64, voxel_size=0.1, width=0.125),
)
OTHER_SETS = replace(PLAIN, aggregation="random_pixel", keys="both_views", negatives="pair")
ARCHITECTURES = ("unet", "deeplabv3", "deeplabv3plus", "pspnet")


def test_what_a_gpu_refuses_is_refused_and_waits_are_noted():
    on_cpu = torch.arange(3.0)
    with pretend_gpu():
        on_gpu = on_cpu.to("cuda", non_blocking=True)
        assert (2 * on_gpu[torch.tensor([0, 2])]).device.type == "cuda"
        assert waits == []
        for mixed in (lambda: on_gpu + on_cpu, lambda: on_cpu.add_(on_gpu)):
            with pytest.raises(RuntimeError, match="to be on the same device"):
                mixed()
        with pytest.raises(TypeError, match="convert cuda"):
            on_gpu.numpy()
        assert on_gpu.sum().item() == 3
        assert on_gpu[on_gpu > 0].cpu().tolist() == [1, 2]
        assert torch.zeros(3, device="cuda").copy_(on_cpu).tolist() == [0, 1, 2]
    waiting = ("_local_scalar_dense", "index.Tensor", "_to_copy", "copy_", "_to_copy")
    assert waits == [f"aten::{name}" for name in waiting]


@pytest.fixture
def steps_do_not_wait(monkeypatch):
    take_step = _Loop._step

    def step(*arguments):
        before = len(waits)
        taken = take_step(*arguments)
        assert waits[before:] == []
        return taken

    monkeypatch.setattr(_Loop, "_step", step)


def assert_alike_on_both(train, folder):
    """Train in `folder` on the CPU and on the GPU, and compare the logs."""
    train(folder / "cpu")
    with pretend_gpu():
        train(folder / "gpu", hardware=GPU)
    rows = list(zip(untimed_log(folder / "gpu"), untimed_log(folder / "cpu"), strict=True))
    assert rows
    for found, expected in rows:
        for term in expected.keys() - {"stage"}:
            assert found[term] == pytest.approx(expected[term], rel=1e-3, abs=1e-4), term


@pytest.fixture
def other_generator(monkeypatch):
    """Let augmentation on the CPU, too, take a generator of its own."""
    monkeypatch.setattr(
        pretrain_step, "_on_cpu", lambda g: torch.Generator().manual_seed(g.initial_seed())
    )


@pytest.mark.usefixtures("steps_do_not_wait", "other_generator")
@pytest.mark.parametrize("recipe", [PLAIN, OTHER_SETS], ids=["plain", "other sets"])
def test_pretraining(prepared_rooms, tmp_path, recipe):
    assert_alike_on_both(partial(tiny_pretrain, prepared_rooms, recipe=recipe), tmp_path)


def test_pretraining_goes_on(prepared_rooms, tmp_path):
    first = replace(PLAIN, stages=PLAIN.stages[:1])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with pretend_gpu():
        tiny_pretrain(prepared_rooms, whole, PLAIN, hardware=GPU)
        tiny_pretrain(prepared_rooms, tmp_path / "first", first, hardware=GPU)
        begin = {"begin_with": tmp_path / "first"}
        tiny_pretrain(prepared_rooms, parts, PLAIN, hardware=GPU, **begin)
    assert weights(parts)["model.safetensors"] == weights(whole)["model.safetensors"]


@pytest.mark.usefixtures("other_generator")
def test_pretraining_with_points(prepared_rooms, tmp_path):
    assert_alike_on_both(partial(tiny_pretrain, prepared_rooms, recipe=ALL_LOSSES), tmp_path)


@pytest.mark.usefixtures("steps_do_not_wait")
def test_moco(prepared_rooms, tmp_path):
    assert_alike_on_both(partial(tiny_moco, prepared_rooms), tmp_path)


@pytest.mark.usefixtures("steps_do_not_wait")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_segmentation(tmp_path, architecture):
    settings = replace(patches.SETTINGS, architecture=architecture, protocol="pri3d")
    assert_alike_on_both(partial(patches.tiny_finetune, settings=settings), tmp_path)
    Image.fromarray(patches.Patches(1).image(0)).save(tmp_path / "a.png")
    with pretend_gpu():
        predict_images(tmp_path / "gpu", [tmp_path / "a.png"], tmp_path / "predicted")
    assert (tmp_path / "predicted/a.labels.png").is_file()


def test_instances(tmp_path):
    assert_alike_on_both(shapes.tiny_finetune, tmp_path)
    Image.fromarray(shapes.Shapes(1).image(0)).save(tmp_path / "a.png")
    with pretend_gpu():
        predict_images(tmp_path / "gpu", [tmp_path / "a.png"], tmp_path / "predicted", 0.0)
    assert (tmp_path / "predicted/a.instances.png").is_file()


def test_comparison_of_frozen_networks(prepared_rooms, tmp_path):
    model = tmp_path / "model.safetensors"
    save_model(ResUNet("resnet18", 8, 0.125), model)

    def compare(device):
        sets = {"train": Halves(3), "test": Halves(2), "layers": ("output", "encoder.1")}
        return evaluate_frozen(
            {"model": model}, tmp_path / device, scenes=[prepared_rooms], device=device, **sets
        )

    on_cpu = compare("cpu")
    with pretend_gpu():
        on_gpu = compare("cuda")
    assert on_gpu["correspondence"] == on_cpu["correspondence"]
    for name, row in on_cpu["segmentation"]["rows"].items():
        for probe in row:
            found = on_gpu["segmentation"]["rows"][name][probe]["miou"]
            assert found == pytest.approx(row[probe]["miou"], abs=0.01), (name, probe)


def test_features_of_sets(prepared_rooms):
    model, scene = ResUNet("resnet18", 8, 0.125).eval(), PreparedScene(prepared_rooms / "a")
    on_cpu = set_features(model, scene, "geometric")
    with pretend_gpu():
        on_gpu = set_features(model.to("cuda"), scene, "geometric")
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-5)


def test_the_benchmark_of_a_gpu(prepared_rooms, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    gpu = importlib.import_module("gpu")
    paper = replace(gpu.RECIPES["paper"], geo=ALL_LOSSES.geo, precision="32-true")
    monkeypatch.setattr(gpu, "RECIPES", {"paper": paper})
    monkeypatch.setattr(gpu, "ModelSettings", lambda backbone: RECIPE.model)
    monkeypatch.setattr(gpu, "STAGES", [replace(stage, steps=2) for stage in gpu.STAGES])
    monkeypatch.setattr(gpu, "matrix_rate", lambda: 1e12)
    for name, value in {"STEPS": 1, "WARMUP": 0, "LOADED_STEPS": 2}.items():
        monkeypatch.setattr(gpu, name, value)
    monkeypatch.setattr(
        "sys.argv", ["gpu.py", str(prepared_rooms), "--batch", "2", "--workers", "0"]
    )
    with pretend_gpu():
        gpu.main()
    text = capsys.readouterr().out
    assert "a step of View + sets waits for the device nowhere" in text
    assert re.findall(r"^(.*): \d+ pairs/s, data wait", text, re.MULTILINE) == [
        *("view", "sets", "view+sets", "stage 1")
    ]
