import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import shapes
import torch
from shapes import CPU, SETTINGS, Shapes
from tiny_run import untimed_log, weights

import geoset
from geoset import GeosetError
from geoset.data.labelled import open_labelled
from geoset.models import load
from geoset.models.detector import Detector
from geoset.recipes import Hardware, InstanceSettings, instances_at_small_scale
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks import instances as task
from geoset.tasks.finetuning import with_network_of_weights
from geoset.tasks.instance_scores import evaluate, predict
from geoset.tasks.instances import build_detector, compute_losses, finetune, stages_of
from geoset.training.log import read_log


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine two threads wait for each other at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_finetune(out, settings=SETTINGS, data=None, **options):
    return finetune(
        data or Shapes(6), Shapes(3, seed=1), out, settings, **({"hardware": CPU} | options)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    tiny_finetune(run)
    return run


def results(out):
    return json.loads((out / "results.json").read_text())


def test_a_run_leaves_its_files(whole):
    files = {path.name for path in whole.iterdir()}
    assert files >= {"model.safetensors", "results.json", "results.md", "curves.png", "run.json"}
    assert files >= {"detections.json", "truth.json", "stage-rate1.safetensors"}
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


def test_images_go_on_over_a_fall():
    stages = stages_of(Shapes(12), SETTINGS, seed=0)
    whole = stages_of(Shapes(12), replace(SETTINGS, falls=()), seed=0)
    in_parts = [batch for stage in stages for batch in stage.batches(0, 0, 1)]
    for found, expected in zip(in_parts, whole[0].batches(0, 0, 1), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found[0], expected[0], strict=True))
    assert [stage.steps for stage in stages] == [2, 2]


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


def test_parts_of_a_step(tmp_path):
    settings = replace(SETTINGS, accumulate=2, steps=1, falls=())
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
    snapshot = tmp_path / "snapshot-rate1-00000002.safetensors"
    assert weights.read_bytes() == snapshot.read_bytes()
    assert (tmp_path / "snapshot-rate2-00000002.safetensors").exists()
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


class Oracle(Detector):
    """Finds what it is told to find, image after image."""

    def __init__(self, found):
        super().__init__("resnet18", ("disc", "bar"), 0.125, sizes=(64,), max_size=96)
        self.found = iter(found)

    def forward(self, images, targets=None):
        return [next(self.found)]


def sure_of(instances, *scores):
    """What Mask R-CNN says when it finds the first instances, at the scores."""
    count = len(scores)
    masks = torch.from_numpy(instances.masks[:count])
    boxes = [
        (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
        for y, x in map(np.nonzero, instances.masks[:count])
    ]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.from_numpy(instances.labels[:count]) + 1,
        "scores": torch.tensor(scores),
        "masks": masks[:, None].float(),
    }


def test_scores_by_protocol(tmp_path):
    """Image 0: disc (441 pixels) and bar (315); 1: disc; 2: bar; 3: nothing."""
    data = Shapes(4)
    truth = [data.instances(i) for i in range(4)]
    # The disc of image 1 is missed, the bar of image 2 hardly believed in.
    found = [sure_of(truth[0], 0.9, 0.8), sure_of(truth[1]), sure_of(truth[2], 0.3)]
    false = sure_of(truth[2], 0.95)  # where nothing is
    strict = evaluate(Oracle([*found, false]), data, tmp_path, hardware=CPU)
    assert strict == results(tmp_path)
    assert (strict["images"], strict["instances"], strict["detections"]) == (4, 4, 4)
    assert strict["protocol"] == "strict"
    for kind in ("boxes", "masks"):
        # Bars: the false one first, then two hits: precision 2/3 at every recall.
        # Discs: one of two, recalls 0.00 .. 0.50 of 101.
        of_class = strict[kind]["classes"]
        assert of_class["bar"]["ap50"] == pytest.approx(2 / 3)
        assert of_class["disc"]["ap"] == pytest.approx(51 / 101)
        assert strict[kind]["mean"]["ap50"] == pytest.approx((2 / 3 + 51 / 101) / 2)
    text = (tmp_path / "results.md").read_text()
    assert "protocol strict (score 0.05 or more, 1 pixels or more): 4 images, 4 instances" in text
    assert "| bar | 66.7 | 66.7 | 66.7 | 66.7 | 66.7 | 66.7 |" in text


def test_pri3d_leaves_out_what_is_small_or_unsure(tmp_path):
    data = Shapes(4)
    large = Large(data)
    truth = [large.instances(i) for i in range(4)]
    found = [sure_of(truth[0], 0.9, 0.4), sure_of(truth[1], 0.7)]
    pri3d = evaluate(Oracle(found), large, tmp_path, protocol="pri3d", hardware=CPU)
    # Images 2 (a bar) and 3 (nothing) are not looked at.
    assert (pri3d["images"], pri3d["instances"], pri3d["detections"]) == (2, 2, 2)
    assert pri3d["masks"]["mean"]["ap"] == pytest.approx(1)
    assert pri3d["masks"]["absent"] == ["bar"]
    assert "left out of the mean: bar." in (tmp_path / "results.md").read_text()


class Large:
    """Data whose discs have 1,000 pixels in label images larger than the images."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        return getattr(self._data, name)

    def __len__(self):
        return len(self._data)

    def instances(self, i):
        found = self._data.instances(i)
        return found._replace(areas=np.where(found.labels == 0, 1000, 999))


def test_nothing_found_and_nothing_there(tmp_path):
    data = Shapes(2)
    nothing = sure_of(data.instances(0))
    found = evaluate(Oracle([nothing, nothing]), data, tmp_path / "a", hardware=CPU)
    assert found["boxes"]["mean"] == {"ap": 0, "ap50": 0, "ap75": 0}
    empty = Large(data)
    empty.instances = lambda i: type(data.instances(0))(
        np.zeros((0, *shapes.SIZE), bool), np.zeros(0, int)
    )
    found = evaluate(
        Oracle([sure_of(data.instances(0), 0.9), nothing]), empty, tmp_path / "b", hardware=CPU
    )
    assert found["masks"]["mean"] == {"ap": None, "ap50": None, "ap75": None}
    assert "| mean | - | - | - | - | - | - |" in (tmp_path / "b" / "results.md").read_text()


def test_workers_change_nothing(whole, tmp_path):
    evaluate(whole, Shapes(3, seed=1), tmp_path, hardware=Hardware("cpu", workers=2))
    assert results(tmp_path) == results(whole)
    assert results(whole)["weights"] == "model.safetensors"


def test_two_processes_see_every_image_once(whole, tmp_path):
    """Seven images: four of one process, three of the other."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    evaluate(whole, Shapes(7), alone, hardware=CPU)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launch, shapes.__file__, whole, together]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Exception" not in ended.stderr  # at exit, an error has no other consequence
    for name in ("truth.json", "detections.json", "results.json"):
        assert (together / name).read_bytes() == (alone / name).read_bytes()
    assert results(alone)["images"] == 7


def test_predictions_are_arrays_of_the_image(whole):
    model = geoset.load_model(whole)
    images = [Shapes(1).image(0), np.zeros((40, 100, 3), np.uint8)]
    for image, found in zip(images, predict(model, images, score_threshold=0.0), strict=True):
        count = len(found.scores)
        assert found.masks.shape == (count, *image.shape[:2])
        assert found.masks.dtype == bool
        assert found.boxes.shape == (count, 4)
        assert set(found.labels.tolist()) <= {0, 1}
        assert (np.diff(found.scores) <= 0).all()
    assert all(len(found.scores) == 0 for found in predict(model, images, score_threshold=1.1))


def test_wrong_models_and_data(whole, tmp_path):
    with pytest.raises(GeosetError, match=r"shapes has no instances; evaluate on data that has"):
        evaluate(whole, Shapes(2, instance_classes=()), tmp_path)
    with pytest.raises(GeosetError, match=r"finds disc, bar, but shapes has instances of disc; "):
        evaluate(whole, Shapes(2, instance_classes=("disc",)), tmp_path)
    with pytest.raises(GeosetError, match=r"protocol is 'loose', expected one of pri3d, strict"):
        evaluate(whole, Shapes(2), tmp_path, protocol="loose")
    load.save_model(geoset.ResUNet("resnet18", width=0.125), tmp_path / "model.safetensors")
    with pytest.raises(GeosetError, match=r"a ResUNet finds no instances; evaluate the run of a"):
        evaluate(tmp_path, Shapes(2), tmp_path)
    with pytest.raises(GeosetError, match=r"instances of disc, but shapes of disc, bar; train and"):
        tiny_finetune(tmp_path / "run", data=Shapes(2, instance_classes=("disc",)))


def test_learns_shapes(tmp_path):
    settings = replace(SETTINGS, steps=60, falls=())
    optimizer = replace(settings.optimizer, lr=3e-3)
    tiny_finetune(tmp_path, replace(settings, optimizer=optimizer), data=Shapes(3, seed=1))
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
