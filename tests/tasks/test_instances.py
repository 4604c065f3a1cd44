import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from shapes import CPU, SETTINGS, Large, Shapes, results, tiny_finetune
from tiny_run import untimed_log, weights

import geoset
from geoset import GeosetError
from geoset.data.labelled import open_labelled
from geoset.models import load
from geoset.recipes import Hardware, InstanceSettings, instances_at_small_scale
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks import instances as task
from geoset.tasks.finetuning import with_network_of_weights
from geoset.tasks.instances import build_detector, compute_losses, finetune
from geoset.training.log import read_log


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    tiny_finetune(run)
    return run


def test_a_run_leaves_its_files(whole):
    files = {path.name for path in whole.iterdir()}
    assert files >= {"model.safetensors", "results.json", "results.md", "curves.png", "run.json"}
    assert files >= {"detections.json", "truth.json", "stage-instances.safetensors"}
    model = geoset.load_model(whole)
    assert model.classes == ("disc", "bar")
    assert not model.config["frozen"]
    rows = read_log(whole)
    parts = {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg"}
    assert parts < rows[0].keys()
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[part] for part in parts), rel=1e-4)


def test_the_learning_rate_falls_to_a_tenth(whole):
    assert [row["lr"] for row in read_log(whole)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_was_killed_resumes_to_the_same(whole, tmp_path, monkeypatch, step):
    left = iter(range(step))

    def compute_or_die(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return compute_losses(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(task, "compute_losses", compute_or_die)
        tiny_finetune(tmp_path)
    tiny_finetune(tmp_path, resume=True)
    assert weights(tmp_path) == weights(whole)
    assert untimed_log(tmp_path) == untimed_log(whole)
    assert results(tmp_path) == results(whole)


def test_other_data_is_refused(whole):
    with pytest.raises(GeosetError, match=r"resumed with other settings: settings\.data\.sha256"):
        tiny_finetune(whole, data=Shapes(6, seed=2), resume=True)


def test_other_classes_are_refused(tmp_path):
    with pytest.raises(GeosetError, match=r"instances of disc, but shapes of disc, bar; train and"):
        tiny_finetune(tmp_path, data=Shapes(2, instance_classes=("disc",)))


def test_parts_of_a_step(tmp_path):
    settings = replace(SETTINGS, accumulate=2, steps=1)
    tiny_finetune(tmp_path, settings)
    assert len(read_log(tmp_path)) == 1


def test_by_pri3d_the_best_of_snapshots_counts(tmp_path, monkeypatch):
    settings = replace(SETTINGS, protocol="pri3d", snapshots=2)
    seen = iter([0.3, 0.2])  # AP of the masks after 2 and after 4 steps

    def score(detector, data, protocol, hardware):
        assert protocol == "pri3d"
        return SimpleNamespace(results={"masks": {"mean": {"ap": next(seen)}}})

    monkeypatch.setattr(task, "score_detector", score)
    data = Large(Shapes(4))
    weights = finetune(data, data, tmp_path, settings, hardware=CPU)
    assert weights == tmp_path / "best.safetensors"
    snapshot = tmp_path / "snapshot-instances-00000002.safetensors"
    assert weights.read_bytes() == snapshot.read_bytes()
    assert (tmp_path / "snapshot-instances-00000004.safetensors").exists()
    validation = json.loads((tmp_path / "validation.json").read_text())
    assert validation == {"mask_ap": {"2": 0.3, "4": 0.2}}
    assert results(tmp_path)["weights"] == "best.safetensors"
    assert results(tmp_path)["protocol"] == "pri3d"


def test_weights_decide_what_is_frozen(tmp_path):
    scratch, report = build_detector(("disc",), SETTINGS, seed=0)
    assert report == "weights: drawn at random"
    assert all(p.requires_grad for p in scratch.parameters())
    path = tmp_path / "encoder.safetensors"
    network = geoset.ResUNet("resnet18", width=0.125)
    load.save_model(network, path)
    settings = replace(SETTINGS, encoder=str(path))
    pretrained, report = build_detector(("disc",), settings, seed=0)
    assert str(path) in report
    assert with_network_of_weights(settings) == settings
    other = replace(settings, backbone="resnet50", width=1.0)
    assert with_network_of_weights(other) == settings
    assert torch.equal(pretrained.encoder.conv1.weight, network.encoder.conv1.weight)
    assert not pretrained.encoder.layer1[0].conv1.weight.requires_grad
    assert pretrained.encoder.layer2[0].conv1.weight.requires_grad
    thawed, _ = build_detector(("disc",), replace(settings, freeze=False), seed=0)
    assert all(p.requires_grad for p in thawed.parameters())


def test_learns_shapes(tmp_path):
    settings = replace(SETTINGS, steps=100, optimizer=replace(SETTINGS.optimizer, lr=3e-3))
    tiny_finetune(tmp_path, settings, data=Shapes(3, seed=1), seed=1)
    assert results(tmp_path)["masks"]["mean"]["ap50"] > 0.5


@pytest.mark.slow
def test_over_fits_eight_frames_of_rooms(tmp_path):
    for seed in range(2):
        write_room(tmp_path / f"rooms/room{seed}", seed, RoomSettings(frames=4))
    data = open_labelled(tmp_path / "rooms", "all")
    settings = instances_at_small_scale(InstanceSettings(), steps=500)
    settings = replace(settings, optimizer=replace(settings.optimizer, lr=2e-3))
    finetune(data, data, tmp_path / "run", settings, hardware=Hardware("cpu"))
    found = results(tmp_path / "run")
    assert len(data) == 8
    assert found["boxes"]["mean"]["ap50"] > 0.9
    assert found["masks"]["mean"]["ap50"] > 0.9
