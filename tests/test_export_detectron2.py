"""The file for detectron2, by the rules of its names; it cannot be installed from a wheel."""

import pickle
import pickletools

import numpy as np
import pytest
import torch
import yaml

from export_cases import as_if_trained
from geoset.export.detectron2_backbone import detectron2_name, export_detectron2
from geoset.models.image_network import ImageNetwork
from reference.detectron2_resnet import stages

PARTS = ("weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
BLOCKS = {"res2": 3, "res3": 4, "res4": 6, "res5": 3}  # of ResNet-50


def expected_names():
    """Of ResNet-50: stem, and in each stage bottlenecks of three, the first with a shortcut."""
    layers = ["stem.conv1"]
    for stage, blocks in BLOCKS.items():
        layers += [f"{stage}.{b}.conv{n}" for b in range(blocks) for n in (1, 2, 3)]
        layers.append(f"{stage}.0.shortcut")
    return {f"{layer}.{part}" for layer in layers for part in PARTS}


@pytest.fixture(scope="module", params=["resnet18", "resnet50"])
def exported(request, tmp_path_factory):
    torch.manual_seed(0)
    network = as_if_trained(ImageNetwork(request.param))
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "README.md").write_text(export_detectron2(network, folder))
    return network, folder


def read(folder):
    (file,) = folder.glob("*.pkl")
    return pickle.loads(file.read_bytes(), encoding="latin1")  # as detectron2 does


def test_names_and_kinds(exported):
    network, folder = exported
    content = read(folder)
    assert content["matching_heuristics"] is True
    assert content["__author__"] == "geoset"
    if network.encoder.name == "resnet50":
        assert set(content["model"]) == expected_names()
        assert len(content["model"]) == 5 * 53  # 53 convolutions, as ResNet-50 has
        assert content["model"]["res3.0.shortcut.weight"].shape == (512, 256, 1, 1)
        assert content["model"]["res5.2.conv2.norm.running_var"].shape == (512,)
    for value in content["model"].values():
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float32
        assert value.flags.writeable  # torch.from_numpy warns otherwise


@torch.inference_mode()
def test_features(exported):
    """With RGB in 0..255 and the config's means: what the network makes of RGB in 0..1."""
    network, folder = exported
    model = {key: torch.from_numpy(value) for key, value in read(folder)["model"].items()}
    (file,) = folder.glob("*.yaml")
    config = yaml.safe_load(file.read_text())["MODEL"]
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("PIXEL_MEAN", "PIXEL_STD"))
    images = torch.rand(2, 3, 64, 96)
    found = stages(model, (255 * images - mean) / std)
    for x, y in zip(found, network.encode(images).values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


def test_config(exported):
    network, folder = exported
    (file,) = folder.glob("*.yaml")
    config = yaml.safe_load(file.read_text())
    depth = {"resnet18": 18, "resnet50": 50}[network.encoder.name]
    resnets = {"DEPTH": depth, "STRIDE_IN_1X1": False}
    assert config == {
        "MODEL": {
            "WEIGHTS": f"resnet{depth}.pkl",
            "PIXEL_MEAN": [123.675, 116.28, 103.53],
            "PIXEL_STD": [58.395, 57.12, 57.375],
            "RESNETS": resnets | ({"RES2_OUT_CHANNELS": 64} if depth == 18 else {}),
        },
        "INPUT": {"FORMAT": "RGB"},
    }
    readme = (folder / "README.md").read_text()
    for note in ("RGB", "[123.675, 116.28, 103.53]", "STRIDE_IN_1X1: False", "FrozenBN"):
        assert note in readme


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_var", "stem.conv1.norm.running_var"),
        ("layer1.0.conv1.weight", "res2.0.conv1.weight"),
        ("layer4.2.bn3.bias", "res5.2.conv3.norm.bias"),
        ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
        ("layer2.0.downsample.1.running_mean", "res3.0.shortcut.norm.running_mean"),
    ],
)
def test_names_by_hand(key, name):
    assert detectron2_name(key) == name


def test_numpy_of_any_version_reads_it(exported):
    """numpy 2 pickles arrays by a module that numpy 1 does not have; here is none but `ndarray`."""
    (file,) = exported[1].glob("*.pkl")
    data = file.read_bytes()
    strings = {argument for _, argument, _ in pickletools.genops(data) if type(argument) is str}
    assert {"numpy", "ndarray"} < strings
    assert not any("_core" in text or "multiarray" in text for text in strings)
