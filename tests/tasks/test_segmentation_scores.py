import json

import numpy as np
import pytest
import torch
from patches import CPU, SIZE, Patches

from geoset import GeosetError, ResUNet
from geoset.models.load import load_model, save_model
from geoset.models.segmenter import Segmenter
from geoset.recipes import Hardware
from geoset.tasks import segmentation_scores
from geoset.tasks.segmentation_scores import evaluate, predict, table
from reference import segmentation as reference

CLASSES = Patches(1).classes


def network(void=False, **options):
    torch.manual_seed(0)
    made = Segmenter("unet", "resnet18", CLASSES, 0.125, void=void, **({"size": SIZE} | options))
    for image in range(3):  # statistics that differ from a new network's
        made(torch.from_numpy(Patches(3).image(image)).permute(2, 0, 1)[None] / 255)
    return made.eval()


def plain_labels(model, image):
    with torch.no_grad():
        scores = model(torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255)
    return (scores.argmax(dim=1) - int(model.void))[0].numpy()


@pytest.mark.parametrize("void", [False, True])
def test_scores_are_those_of_a_loop(tmp_path, void):
    """Eleven images: a batch of eight, and three."""
    model, data = network(void), Patches(11)
    found = evaluate(model, data, tmp_path, hardware=CPU)
    predicted = np.concatenate([plain_labels(model, data.image(i)).ravel() for i in range(11)])
    truth = np.concatenate([data.semantic(i).ravel() for i in range(11)])
    assert (predicted == -1).any() == void
    flat = predicted.tolist(), truth.tolist()
    assert found["confusion"] == reference.confusion(*flat, 4)
    assert found["mean_iou"] == pytest.approx(reference.mean_iou(*flat, 4, absent_as_zero=void))
    assert found["pixel_accuracy"] == pytest.approx(reference.accuracy(*flat))
    assert found["protocol"] == ("pri3d" if void else "strict")
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "results.md").read_text() == table(found)


def test_an_image_that_a_worker_cannot_read(tmp_path):
    class Damaged(Patches):
        def image(self, i):
            raise GeosetError(f"image {i}: is damaged")

    with pytest.raises(GeosetError) as error:
        evaluate(network(), Damaged(3), tmp_path, hardware=Hardware("cpu", workers=1))
    assert str(error.value) == "image 0: is damaged"


def test_images_are_brought_to_the_size_of_the_training(tmp_path, monkeypatch):
    seen = []
    count = segmentation_scores.count_pixels

    def spy(model, batches):
        batches = list(batches)
        seen.extend(tuple(x.shape) for batch in batches for x in batch)
        return count(model, batches)

    monkeypatch.setattr(segmentation_scores, "count_pixels", spy)
    found = evaluate(network(size=(16, 24)), Patches(3), tmp_path, hardware=CPU)
    assert seen == [(3, 3, 16, 24), (3, 16, 24)]
    assert found["size"] == [16, 24]
    assert evaluate(network(size=None), Patches(3), tmp_path, hardware=CPU)["size"] is None
    assert seen[2:] == [(3, 3, *SIZE), (3, *SIZE)]


def test_a_file_or_a_folder_of_a_network(tmp_path):
    save_model(network(), tmp_path / "model.safetensors")
    of_folder = evaluate(tmp_path, Patches(3), tmp_path / "a", hardware=CPU)
    of_file = evaluate(tmp_path / "model.safetensors", Patches(3), tmp_path / "b", hardware=CPU)
    assert of_folder == of_file
    assert of_file["weights"] == "model.safetensors"
    save_model(network(void=True), tmp_path / "best.safetensors")
    assert evaluate(tmp_path, Patches(3), tmp_path / "a", hardware=CPU)["protocol"] == "pri3d"
    assert load_model(tmp_path).config["void"]  # the one that was scored


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        ((32, 48), (16, 24)),
        ((48, 32), (24, 16)),  # upright: the size turned
        ((48, 48), (24, 24)),  # square: as in training, which crops it
        ((32, 96), (16, 48)),  # wider than the size
    ],
)
def test_images_are_seen_whole_at_the_scale_of_training(image, seen, monkeypatch):
    model, sizes = network(size=(16, 24)), []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    (labels,) = predict(model, [np.zeros((*image, 3), np.uint8)])
    assert sizes == [seen] and labels.shape == image


def test_labels_have_the_size_of_the_image():
    model = network(void=True)
    small, large = Patches(1).image(0), Patches(1).image(0).repeat(3, axis=0).repeat(3, axis=1)
    same, enlarged, odd = predict(model, [small, large, large[:77, :50]])
    assert (same == plain_labels(model, small)).all()
    assert same.dtype == np.int64
    assert enlarged.shape == (96, 144)
    assert (enlarged[1::3, 1::3] == same).mean() > 0.8
    assert odd.shape == (77, 50)


def test_table(tmp_path):
    """Wall: 6 of 6 + 2 pixels. Void is no class; the lamp is nowhere."""
    found = {
        "data": "rooms val", "protocol": "pri3d", "images": 2, "size": [240, 320],
        "pixel_accuracy": 0.8, "mean_iou": 0.416666, "classes": ["wall", "floor", "lamp"],
        "iou": {"wall": 0.75, "floor": 0.5, "lamp": 0.0}, "absent": ["lamp"],
        "confusion": [[6, 0, 0], [2, 2, 0], [0, 0, 0]],
    }  # fmt: skip
    expected = (
        "Segmentation of rooms val, protocol pri3d: 2 images at 240x320, pixel accuracy 80.0. "
        "In %:\n\n"
        "| class | IoU | of the truth | of the predictions |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| mean | 41.7 |  |  |\n"
        "| wall | 75.0 | 60.0 | 80.0 |\n"
        "| floor | 50.0 | 40.0 | 20.0 |\n"
        "| lamp | 0.0 | 0.0 | 0.0 |\n\n"
        "Neither there nor predicted, in the mean an IoU of 0: lamp.\n"
    )
    assert table(found) == expected
    found |= {"protocol": "strict", "iou": {"wall": 0.75, "floor": 0.5}, "mean_iou": None}
    assert "| mean | - |  |  |" in table(found)
    assert "| lamp | - | 0.0 | 0.0 |" in table(found)
    assert table(found).endswith("in the mean left out: lamp.\n")


def test_what_cannot_be_scored(tmp_path):
    save_model(ResUNet("resnet18", width=0.125), tmp_path / "model.safetensors")
    with pytest.raises(GeosetError, match="a ResUNet gives pixels no classes; evaluate the run of"):
        evaluate(tmp_path, Patches(1), tmp_path, hardware=CPU)
    with pytest.raises(GeosetError, match=r"knows the classes red, .*, but patches has a, b; eval"):
        evaluate(network(), Patches(1, classes=("a", "b")), tmp_path, hardware=CPU)
    with pytest.raises(GeosetError, match="but patches has none; evaluate on data"):
        evaluate(network(), Patches(1, classes=()), tmp_path, hardware=CPU)
    with pytest.raises(GeosetError, match=r"nowhere: no such file"):
        evaluate(tmp_path / "nowhere", Patches(1), tmp_path, hardware=CPU)
