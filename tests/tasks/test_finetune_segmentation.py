import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import patches
import pytest
import torch
import torch.nn.functional as F
from patches import SETTINGS, Patches, tiny_finetune
from safetensors.torch import load_file
from torch import nn

import geoset
from geoset import GeosetError, ResUNet
from geoset.data.labelled import open_labelled
from geoset.models.load import save_model
from geoset.models.segmenter import OUTPUT_STRIDES
from geoset.recipes import Hardware
from geoset.recipes.segmentation import SEGMENTATION_RECIPES, segmentation_at_small_scale
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks import segmentation as task
from geoset.tasks.segmentation import compute_losses, finetune, label_loss, stage_of
from geoset.tasks.segmentation_scores import evaluate
from geoset.training.log import read_log

PRI3D = replace(SETTINGS, protocol="pri3d")
WEIGHTS = ("model.safetensors", "best.safetensors", "validation.json", "results.json")


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def results(run):
    return json.loads((run / "results.json").read_text())


def validation(run):
    return json.loads((run / "validation.json").read_text())["mean_iou"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run by protocol pri3d; not to be written to."""
    run = tmp_path_factory.mktemp("whole")
    tiny_finetune(run, PRI3D)
    return run


def test_the_last_weights_count_by_protocol_strict(tmp_path):
    assert tiny_finetune(tmp_path) == tmp_path / "model.safetensors"
    model = geoset.load_model(tmp_path)
    assert (model.classes, model.void, model.size) == (Patches(1).classes, False, patches.SIZE)
    found = results(tmp_path)
    assert (found["protocol"], found["weights"]) == ("strict", "model.safetensors")
    assert found["images"] == 5
    assert not list(tmp_path.glob("snapshot*"))
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4]
    assert read_log(tmp_path)[0]["labelled"] == pytest.approx(15 / 16)


def test_it_learns(tmp_path):
    settings = replace(SETTINGS, steps=80, encoder_lr_factor=1.0)
    tiny_finetune(tmp_path, settings, hardware=Hardware("cpu", workers=0))
    found = results(tmp_path)
    assert found["mean_iou"] > 0.8
    assert found["absent"] == ["gold"]


def test_by_protocol_pri3d_the_best_snapshot_counts(whole):
    scores = validation(whole)
    assert list(scores) == ["2", "4"]
    best = max(scores, key=scores.get)
    snapshot = whole / f"snapshot-segmentation-{int(best):08d}.safetensors"
    assert (whole / "best.safetensors").read_bytes() == snapshot.read_bytes()
    found = results(whole)
    assert (found["protocol"], found["weights"]) == ("pri3d", "best.safetensors")
    assert found["mean_iou"] == scores[best]
    assert found["iou"]["gold"] == 0
    assert geoset.load_model(whole).head.out_channels == 5


@pytest.mark.parametrize(("scores", "best"), [((0.9, 0.1), 2), ((0.1, 0.9), 4), ((0.5, 0.5), 2)])
def test_the_best_may_be_any(tmp_path, monkeypatch, scores, best):
    left = list(scores)

    def scored(*arguments):
        return SimpleNamespace(score=SimpleNamespace(mean_iou=lambda: left.pop(0)))

    monkeypatch.setattr(task, "score_network", scored)
    monkeypatch.setattr(task, "evaluate", lambda *arguments, **options: None)
    assert tiny_finetune(tmp_path, PRI3D) == tmp_path / "best.safetensors"
    snapshot = tmp_path / f"snapshot-segmentation-{best:08d}.safetensors"
    assert (tmp_path / "best.safetensors").read_bytes() == snapshot.read_bytes()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_run_stopped_at_any_step_resumes_to_the_same(whole, tmp_path, monkeypatch, step):
    def killed(*arguments):
        if len(read_log(tmp_path)) == step:
            raise KilledError
        return compute_losses(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(task, "compute_losses", killed)
        tiny_finetune(tmp_path, PRI3D)
    tiny_finetune(tmp_path, PRI3D, resume=True)
    for name in WEIGHTS:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


def test_other_images_are_another_run(whole):
    with pytest.raises(GeosetError, match=r"settings.data.images was 10, now it is 9\."):
        tiny_finetune(whole, PRI3D, data=Patches(9), resume=True)


def test_two_processes(tmp_path):
    """They train and validate together; one alone gives the same scores to the same weights."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launch, patches.__file__, tmp_path / "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([*map(str, command)], env=environment).returncode == 0
    evaluate(tmp_path / "run", Patches(7, seed=1), tmp_path / "alone", hardware=patches.CPU)
    assert results(tmp_path / "run") == results(tmp_path / "alone")
    for step, mean in validation(tmp_path / "run").items():
        model = geoset.load_model(
            tmp_path / f"run/snapshot-segmentation-{int(step):08d}.safetensors"
        )
        evaluate(model, Patches(7, seed=1), tmp_path / "alone", hardware=patches.CPU)
        assert results(tmp_path / "alone")["mean_iou"] == mean


def test_the_encoder_learns_at_its_own_rate(tmp_path):
    settings = replace(SETTINGS, encoder_lr_factor=0.0)
    before = task.build_segmenter(Patches(1).classes, settings, seed=0)[0].state_dict()
    tiny_finetune(tmp_path, settings)
    after = load_file(tmp_path / "model.safetensors")
    moved = {
        k.partition(".")[0]
        for k in after
        if "running" not in k and "num" not in k and not torch.equal(before[k], after[k])
    }
    assert moved == {"decoder", "head"}


@pytest.mark.parametrize("architecture", ["unet", "deeplabv3plus"])
def test_what_the_weights_are_for_is_in_their_file(tmp_path, capsys, architecture):
    torch.manual_seed(3)
    pretrained = ResUNet("resnet18", out_channels=12, width=0.125)
    save_model(pretrained, tmp_path / "pretrained.safetensors")
    settings = replace(
        SETTINGS,
        architecture=architecture,
        backbone="resnet50",
        width=1.0,
        encoder=str(tmp_path / "pretrained.safetensors"),
        optimizer=replace(SETTINGS.optimizer, lr=1e-12),
    )
    tiny_finetune(tmp_path / "run", settings)
    model = geoset.load_model(tmp_path / "run")
    assert (model.config["encoder"], model.config["width"]) == ("resnet18", 0.125)
    parts = ("encoder", "decoder") if architecture == "unet" else ("encoder",)
    for part in parts:
        for name, expected in getattr(pretrained, part).named_parameters():
            torch.testing.assert_close(getattr(model, part).get_parameter(name), expected)
    state, own = pretrained.state_dict(), pretrained.encoder.state_dict()
    said = {
        "unet": f"weights: {len(state)} tensors of {settings.encoder}\n",
        "deeplabv3plus": f"weights: {len(own)} tensors of {settings.encoder}; skipped "
        f"{len(state) - len(own)} of decoder.* (decoder)\n",
    }
    assert said[architecture] in capsys.readouterr().out


def test_epochs_are_counted_in_batches():
    stage = stage_of(Patches(10), replace(SETTINGS, steps=None, epochs=2.5), seed=0)
    assert stage.steps == round(2.5 * 3)
    assert stage.snapshots == ()
    assert stage_of(Patches(10), replace(PRI3D, steps=7, snapshots=3), 0).snapshots == (3, 5, 7)


def test_loss_by_hand():
    """Scores 0, 0 give log 2; log(1 + e) - 1 where the right one is ahead by 1; -1 is ignored."""
    scores = torch.tensor([[[[0.0, 1.0, 9.0]], [[0.0, 0.0, 0.0]]]])
    expected = (0.69314718 + 0.31326169) / 2
    assert label_loss(scores, torch.tensor([[[1, 0, -1]]])).item() == pytest.approx(expected)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_scores_of_16_bits_are_summed_in_32(precision):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 200, 200, generator=generator).to(precision)
    labels = torch.randint(3, (2, 200, 200), generator=generator)
    loss = label_loss(scores, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(label_loss(scores.float(), labels).item(), rel=1e-6)


def test_nothing_labelled_is_a_loss_of_0():
    scores = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = label_loss(scores, torch.full((1, 3, 3), -1))
    loss.backward()
    assert loss == 0
    assert not scores.grad.any()


class FixedScores(nn.Module):
    """A network of known scores, its own and those of an auxiliary head."""

    def __init__(self, channels):
        super().__init__()
        self.scores = torch.randn(2, 2, channels, 6, 8, generator=torch.Generator().manual_seed(0))

    def forward(self, images, auxiliary):
        assert auxiliary
        return tuple(self.scores)


@pytest.mark.parametrize("void", [False, True])
def test_losses_of_a_batch(void):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(-1, 3, (2, 6, 8), generator=generator)
    model = FixedScores(3 + void)
    images = torch.zeros(2, 3, 6, 8, dtype=torch.uint8)
    found = compute_losses(void, 0.4, model, (images, labels), generator)
    targets = labels + 1 if void else labels
    main, auxiliary = (F.cross_entropy(x, targets, ignore_index=-1) for x in model.scores)
    assert found["loss"].item() == pytest.approx((main + 0.4 * auxiliary).item())
    counted = targets >= 0
    assert found["labelled"] == counted.float().mean()
    right = (model.scores[0].argmax(dim=1) == targets)[counted].float().mean()
    assert found["accuracy"].item() == pytest.approx(right.item())


def test_other_classes_to_validate_on(tmp_path):
    with pytest.raises(GeosetError, match=r"the classes red, .*, but other has a, b; train and"):
        tiny_finetune(tmp_path, val=Patches(2, name="other", classes=("a", "b")))


def test_one_image_a_device_is_too_few_for_deeplab():
    settings = replace(SETTINGS, architecture="deeplabv3", batch=2)
    with pytest.raises(GeosetError, match="batch is 2 for 2 devices; deeplabv3 needs 2 or more"):
        stage_of(Patches(4), settings, 0, ranks=2)
    stage_of(Patches(4), replace(settings, architecture="unet"), 0, ranks=2)


def test_weights_that_fit_nothing(tmp_path):
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "a.pth")
    settings = replace(SETTINGS, encoder=str(tmp_path / "a.pth"))
    for architecture in OUTPUT_STRIDES:
        with pytest.raises(GeosetError, match=r"a.pth: holds no weights of resnet18, but other.w"):
            tiny_finetune(tmp_path / "run", replace(settings, architecture=architecture))
    assert not (tmp_path / "run").exists()


def test_a_folder_called_scratch_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    assert task.with_network_of_weights(SETTINGS) == SETTINGS


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Eight labelled frames of 96x128, of rooms without furniture."""
    folder = tmp_path_factory.mktemp("rooms")
    for seed in range(2):
        write_room(folder / f"room{seed}", seed, RoomSettings(frames=4, furniture=(0, 0)))
    return open_labelled(folder, "all")


# DeepLabV3 enlarges scores by 16: even scores that are free to choose reach only 88 % of 6x8 cells
# and 97 % of 12x16. PSPNet enlarges by 8.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size", "steps"),
    [
        ("unet", (96, 128), 400),
        ("deeplabv3", (192, 256), 600),
        ("deeplabv3plus", (96, 128), 400),
        ("pspnet", (96, 128), 400),
    ],
)
def test_eight_frames_are_learned_by_heart(rooms, tmp_path, architecture, size, steps):
    settings = segmentation_at_small_scale(SEGMENTATION_RECIPES[architecture], steps)
    settings = replace(settings, augmentation="none", size=size)
    finetune(rooms, rooms, tmp_path, settings, hardware=Hardware("cpu", workers=0))
    assert results(tmp_path)["mean_iou"] > 0.95
