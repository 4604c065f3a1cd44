"""What a detector finds, scored by the protocols, in one process and in two."""

import os
import subprocess
import sys

import numpy as np
import pytest
import shapes
import torch
from shapes import CPU, Large, Shapes, results, tiny_finetune

import geoset
from geoset import GeosetError
from geoset.data.label_set import Instances
from geoset.models import load
from geoset.models.detector import Detector
from geoset.recipes import Hardware
from geoset.tasks.instance_scores import evaluate, predict


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    tiny_finetune(run)
    return run


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


def test_nothing_found_and_nothing_there(tmp_path):
    data = Shapes(2)
    nothing = sure_of(data.instances(0))
    found = evaluate(Oracle([nothing, nothing]), data, tmp_path / "a", hardware=CPU)
    assert found["boxes"]["mean"] == {"ap": 0, "ap50": 0, "ap75": 0}
    empty = Large(data)
    empty.instances = lambda i: Instances(np.zeros((0, *shapes.SIZE), bool), np.zeros(0, int))
    found = evaluate(
        Oracle([sure_of(data.instances(0), 0.9), nothing]), empty, tmp_path / "b", hardware=CPU
    )
    assert found["masks"]["mean"] == {"ap": None, "ap50": None, "ap75": None}
    assert "| mean | - | - | - | - | - | - |" in (tmp_path / "b" / "results.md").read_text()


def test_an_image_that_a_worker_cannot_read(tmp_path):
    class Damaged(Shapes):
        def image(self, i):
            raise GeosetError(f"image {i}: is damaged")

    with pytest.raises(GeosetError) as error:
        evaluate(Oracle([]), Damaged(3), tmp_path, hardware=Hardware("cpu", workers=1))
    assert str(error.value) == "image 0: is damaged"


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
