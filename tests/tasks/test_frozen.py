"""Frozen networks compared on a box room and on a few labelled images."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from geoset.errors import GeosetError
from geoset.models.load import save_model
from geoset.models.resunet import ResUNet
from geoset.prepare.run import prepare_scene
from geoset.recipes import PrepareSettings
from geoset.tasks import frozen
from geoset.tasks.frozen import evaluate_frozen, frames_in_training
from reference.box_room import POSES, write_box_room

CLASSES = ("wall", "floor")


@dataclass
class Halves:
    """Images whose lower half is brighter, and floor."""

    count: int
    name: str = "halves"
    classes: tuple = CLASSES
    instance_classes: tuple = ()

    def __len__(self):
        return self.count

    def image(self, i):
        noise = np.random.default_rng(i).integers(0, 40, (64, 96, 3))
        noise[32:] += 180
        return noise.astype(np.uint8)

    def semantic(self, i):
        return np.repeat([0, 1], 32)[:, None].repeat(96, axis=1)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    scan = write_box_room(folder / "room", POSES[:3])
    prepare_scene(scan, folder / "out", PrepareSettings(image_size=(96, 128)))
    return folder / "out"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("model") / "stage.safetensors"
    save_model(ResUNet("resnet18", 8, 0.125), path)
    return path


@pytest.fixture(scope="module")
def compared(room, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    models = {"random": "scratch", "trained": model}
    layers = ("output", "encoder.1")
    sets = {"train": Halves(3), "test": Halves(2)}
    results = evaluate_frozen(models, out, scenes=[room], frames="all", layers=layers, **sets)
    return out, results


def test_results_are_what_is_stored(compared):
    out, results = compared
    stored = json.loads((out / "results.json").read_text())
    assert stored == json.loads(json.dumps(results))
    assert stored["layer"] == "output" and stored["seed"] == 0


def test_every_row_has_a_recall_by_angle(compared):
    found = compared[1]["correspondence"]["scenes"]["room"]
    networks = ["random", "trained", "random, encoder.1", "trained, encoder.1"]
    assert list(found["rows"]) == ["chance: any pixel", "the same pixel", *networks]
    assert found["image_size"] == [96, 128]
    assert sum(found["matches"][:-1]) == found["matches"][-1] > 0 and found["pairs"][-1] == 3
    for row in found["rows"].values():
        for shares, count in zip(row["recall"], found["matches"], strict=True):
            at_5, at_10, at_20 = shares
            assert (at_5 is None) == (count == 0)
            assert count == 0 or 0 <= at_5 <= at_10 <= at_20 <= 1
    assert found["rows"]["random"]["frames"] == ""
    assert found["rows"]["trained, encoder.1"]["frames"] == "unknown"


def test_classes_that_brightness_shows_are_read_off(compared):
    rows = compared[1]["segmentation"]["rows"]
    assert rows["majority class"]["linear"]["miou"] == pytest.approx(0.25)
    assert rows["colour and position"]["linear"]["miou"] > 0.9
    for probe in ("linear", "neighbours"):
        assert rows["trained, encoder.1"][probe]["miou"] > 0.7
        assert set(rows["trained"][probe]["iou"]) == set(CLASSES)


def test_the_tables_say_what_was_done(compared):
    text = (compared[0] / "results.md").read_text()
    for words in (
        "within 5 / 10 / 20 pixels of the stored size",
        "### room, 96x128 pixels",
        "| features | these frames | 0-15° | 15-30° | 30-60° | 60-180° | all |",
        "| matches (pairs of frames) |",
        "Fitted on halves, 3 images; scored on halves, 2 images.",
        "| majority class | 25.0 | 50.0 | - | - |",
    ):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8, 6}


def test_pictures_are_drawn(compared):
    names = ("room-matches", "room-features", "room-similarity", "segmentation")
    sizes = {name: Image.open(compared[0] / f"{name}.png").size for name in names}
    # tiles of 256 pixels: of two views; an image and two networks; four of a network; image,
    # truth, two networks
    assert sizes["room-matches"][0] > 4 * 256
    assert 3 * 256 < sizes["room-features"][0] < 4 * 256
    assert 4 * 256 < sizes["room-similarity"][0] < 5 * 256
    assert sizes["segmentation"][0] > 4 * 256


def write_run(folder, scenes, options=None, weights="scratch", kind="recipe"):
    folder.mkdir()
    recipe = {"model": {"weights": str(weights)}} | (options or {})
    plan = {"settings": {"scenes": {name: {} for name in scenes}, kind: recipe}}
    (folder / "run.json").write_text(json.dumps({"plan": plan}))
    return folder / "stage-sets.safetensors"


def test_what_a_run_saw_of_the_frames(tmp_path):
    all_frames = write_run(tmp_path / "all", ["room"])
    held_out = write_run(tmp_path / "held", ["room"], {"heldout_every": 5})
    assert frames_in_training(all_frames, "room", "every:5") == "trained on"
    assert frames_in_training(held_out, "room", "every:5") == "held out"
    assert frames_in_training(held_out.parent, "room", "every:5") == "held out"
    assert frames_in_training(held_out, "room", "every:10") == "held out"
    assert frames_in_training(held_out, "room", "every:4") == "trained on"
    assert frames_in_training(held_out, "room", "all") == "trained on"
    assert frames_in_training(held_out, "hall", "every:5") == "other scenes"
    moco = write_run(tmp_path / "moco", ["room"], kind="moco")
    assert frames_in_training(moco, "room", "every:5") == "trained on"
    assert frames_in_training(tmp_path / "no.pth", "room", "every:5") == "unknown"
    assert frames_in_training("imagenet", "room", "every:5") == ""


def test_what_the_run_that_a_run_started_from_saw_counts(tmp_path):
    every = {"heldout_every": 5}
    all_frames = write_run(tmp_path / "all", ["room"])
    held_out = write_run(tmp_path / "held", ["room"], every)
    for name, start, of_room in (
        ("a", all_frames, "trained on"),
        ("b", held_out.parent, "held out"),
        ("c", tmp_path / "resnet50.pth", "unknown"),
        ("d", "imagenet", "held out"),
    ):
        later = write_run(tmp_path / name, ["room"], every, start)
        assert frames_in_training(later, "room", "every:5") == of_room
    elsewhere = write_run(tmp_path / "elsewhere", ["hall"], {}, tmp_path / "b")
    assert frames_in_training(elsewhere, "room", "every:5") == "held out"
    assert frames_in_training(elsewhere, "attic", "every:5") == "other scenes"
    unknown = write_run(tmp_path / "unknown", ["room"], {}, tmp_path / "resnet50.pth")
    assert frames_in_training(unknown, "room", "every:5") == "trained on"


def test_nothing_to_evaluate(model, tmp_path):
    with pytest.raises(GeosetError, match="nothing to evaluate on: expected prepared scenes"):
        evaluate_frozen({"a": model}, tmp_path)
    with pytest.raises(GeosetError, match="train to fit probes on and test to score them on"):
        evaluate_frozen({"a": model}, tmp_path, train=Halves(1))


def test_a_scene_that_cannot_be_used_costs_no_other(room, model, tmp_path):
    short = write_box_room(tmp_path / "scans/short", POSES[:1])
    prepare_scene(short, tmp_path / "scenes", PrepareSettings(image_size=(96, 128)))
    scenes = [tmp_path / "scenes", room]
    results = evaluate_frozen({"m": model}, tmp_path / "out", scenes=scenes, frames="all")
    found = results["correspondence"]
    assert list(found["scenes"]) == ["room"]
    (reason,) = found["skipped"]
    assert reason.startswith(f"{tmp_path / 'scenes/short'}: frames is 'all', which leaves 1 of 1")
    assert f"Left out: {reason}" in (tmp_path / "out/results.md").read_text()
    with pytest.raises(GeosetError, match=r"scenes/short: frames is 'all', which leaves 1 of 1"):
        evaluate_frozen({"m": model}, tmp_path / "out", scenes=scenes[:1], frames="all")


def test_no_layer(room, model, tmp_path):
    with pytest.raises(GeosetError, match="no layer is named; expected output, decoder, or enc"):
        evaluate_frozen({"m": model}, tmp_path, scenes=[room], layers=())


def test_scratch_of_no_network(tmp_path):
    with pytest.raises(GeosetError, match="models are scratch, expected at least one file"):
        evaluate_frozen({"a": "scratch"}, tmp_path, train=Halves(1), test=Halves(1))


def test_scratch_of_a_network_of_another_kind(model, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "load_model", lambda path: torch.nn.Linear(1, 1))
    message = "is a Linear, expected a network of pre-training first"
    with pytest.raises(GeosetError, match=message):
        evaluate_frozen({"a": model, "b": "scratch"}, tmp_path, train=Halves(1), test=Halves(1))


def test_sets_of_other_classes(model, tmp_path):
    other = Halves(1, "others", ("floor", "wall"))
    message = "others has the classes floor, wall; halves has wall, floor: expected the same"
    with pytest.raises(GeosetError, match=message):
        evaluate_frozen({"a": model}, tmp_path, train=other, test=Halves(1))
