"""The folder for the hub: it loads offline, its card has what readers look for and no paths."""

import json
import socket

import huggingface_hub
import pytest
import torch
import yaml

import geoset
from export_cases import save_run
from geoset import GeosetError
from geoset.tasks.export import export

OPTIMIZER = {"kind": "sgd", "lr": 0.1}
VERSIONS = {"geoset": "0.1.0", "torch": "2.9"}


def write_run(folder, settings, stages):
    plan = {
        "seed": 3,
        "stages": [
            {"name": name, "steps": steps, "optimizer": OPTIMIZER} for name, steps in stages
        ],
        "settings": settings,
    }
    (folder / "run.json").write_text(json.dumps({"plan": plan, "versions": VERSIONS}))


def stage(**weights):
    return {"view": 0.0, "geo": 0.0, "depth": 0.0, "sets": 0.0} | weights


def test_a_pretrained_network(tmp_path):
    run = tmp_path / "first"
    network = save_run("narrow", run)
    recipe = {
        "model": {"weights": "/home/me/resnet18.pth"},
        "batch_pairs": 64,
        "stages": [stage(view=1.0, depth=0.5), stage(sets=1.0)],
    }
    scenes = {"my_bedroom": {}, "my_kitchen": {}}
    write_run(run, {"recipe": recipe, "scenes": scenes}, [("view", 500), ("sets", 200)])
    out = export(run, "hub", license="cc-by-nc-4.0")

    images = torch.rand(1, 3, 40, 60)
    with torch.inference_mode():
        assert torch.equal(geoset.load_model(out)(images), network(images))
    config = json.loads((out / "config.json").read_text())
    assert (config["model"], config["encoder"]) == ("ResUNet", "resnet18")
    assert config["config"] == network.config
    assert config["strides"] == {"stride4": 4, "stride8": 8, "stride16": 16, "stride32": 32}

    card = huggingface_hub.ModelCard.load(out / "README.md")
    assert card.data.to_dict() == {
        "library_name": "geoset",
        "license": "cc-by-nc-4.0",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["geoset", "resnet18"],
    }
    for line in (
        "# first",
        "- data: 2 scenes of RGB-D frames, without labels",
        "- started from: resnet18.pth",
        "- a step: 64 pairs of views; seed 3",
        "- versions: geoset 0.1.0, torch 2.9",
        "| view | 500 | 1 x view, 0.5 x depth | sgd | 0.1 |",
        "| sets | 200 | 1 x sets | sgd | 0.1 |",
        "Not measured by this run. `geoset compare` and `geoset evaluate` do.",
        "cc-by-nc-4.0.",
    ):
        assert line in card.text.splitlines()
    assert "## Intended use" in card.text
    assert "my_bedroom" not in card.text
    assert "/home" not in card.text


def test_a_network_of_moco(tmp_path):
    save_run("narrow", tmp_path)
    moco = {"model": {"weights": "imagenet"}, "batch": 256}
    write_run(tmp_path, {"moco": moco, "scenes": {"a": {}, "b": {}}}, [("moco", 90)])
    card = (export(tmp_path, "hub") / "README.md").read_text().splitlines()
    for line in (
        "- data: the frames of 2 scenes, without labels",
        "- started from: imagenet",
        "- a step: 256 frames; seed 3",
        "| moco | 90 | MoCoV2 | sgd | 0.1 |",
    ):
        assert line in card


def test_a_finetuned_network_with_its_results(tmp_path):
    save_run("deeplabv3", tmp_path)
    settings = {
        "segmentation": {"encoder": "imagenet", "batch": 8},
        "data": {"name": "labels/mine", "images": 60},
    }
    write_run(tmp_path, settings, [("segmentation", 100)])
    (tmp_path / "results.md").write_text("Segmentation of mine: 61.0\n")
    (tmp_path / "results.json").write_text('{"weights": "model.safetensors"}')
    card = huggingface_hub.ModelCard.load(export(tmp_path, "hub") / "README.md")
    assert card.data.pipeline_tag == "image-segmentation"
    for line in (
        "A deeplabv3 on a resnet18, fine-tuned with labels of 2 classes (wall, floor).",
        "- data: 60 labelled images of mine",
        "- started from: imagenet",
        "- a step: 8 images; seed 3",
        "| segmentation | 100 | segmentation, labelled | sgd | 0.1 |",
        "Segmentation of mine: 61.0",
    ):
        assert line in card.text.splitlines()
    (tmp_path / "results.json").write_text('{"weights": "best.safetensors"}')
    card = (export(tmp_path, "hub") / "README.md").read_text()
    assert "61.0" not in card  # the results are of other weights


def test_weights_of_which_nothing_is_known(tmp_path):
    save_run("detector", tmp_path)
    card = (export(tmp_path / "model.safetensors", "hub") / "README.md").read_text()
    assert "Not known: there is no `run.json` beside the weights." in card
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["pipeline_tag"]) == ("other", "object-detection")
    assert "Not stated. Weights may be bound by the terms of the data" in card


@pytest.mark.parametrize("content", ['{"plan": {}}', "{", "[]"])
def test_a_run_of_another_program(content, tmp_path):
    save_run("narrow", tmp_path)
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(GeosetError, match=r"run.json: is not as geoset writes it .* Move it away"):
        export(tmp_path, "hub")


def test_it_loads_without_a_connection(tmp_path, monkeypatch):
    """From a folder that was moved, and without a look at the hub."""

    def refuse(*_):
        raise AssertionError("a connection was asked for")

    save_run("narrow", tmp_path)
    out = export(tmp_path, "hub", tmp_path / "out").rename(tmp_path / "moved")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert type(geoset.load_model(out)) is geoset.ResUNet
