import json

import pytest
import safetensors.torch
import torch
from torch import nn

import geoset
from geoset import GeosetError, ResUNet
from geoset.models.load import save_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ResUNet("resnet18", out_channels=6, width=0.0625)
    model(torch.rand(2, 3, 64, 64))  # statistics that differ from a new network's
    return model


def rewrite(path, change=lambda state: None, metadata=None):
    """Write the checkpoint again with `change` applied to its weights."""
    state = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() if metadata is None else metadata
    change(state)
    safetensors.torch.save_file(state, path, metadata)


@pytest.mark.parametrize("asked", ["", "model.safetensors"])
def test_a_saved_model_comes_back(model, tmp_path, asked):
    save_model(model, tmp_path / "model.safetensors")
    loaded = geoset.load_model(tmp_path / asked)
    assert not loaded.training
    assert loaded.config == model.config
    state, expected = loaded.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    images = torch.rand(1, 3, 64, 96)
    assert torch.equal(loaded(images), model.eval()(images))


def test_the_same_weights_make_the_same_file(model, tmp_path):
    save_model(model, tmp_path / "a.safetensors")
    save_model(model.to(memory_format=torch.channels_last), tmp_path / "b.safetensors")
    a, b = ((tmp_path / name).read_bytes() for name in ("a.safetensors", "b.safetensors"))
    assert a == b


def test_only_known_networks_are_saved(tmp_path):
    with pytest.raises(
        GeosetError, match=r"a Sequential cannot be saved .* one of: ResUNet, DenseNetwork"
    ):
        save_model(nn.Sequential(), tmp_path / "model.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeosetError, match=r"model.safetensors: no such file. Give the"):
        geoset.load_model(tmp_path)


@pytest.mark.parametrize("size", [100, -1000])
def test_a_file_cut_short_is_named(model, tmp_path, size):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(GeosetError, match="not a safetensors file, or cut short"):
        geoset.load_model(path)


@pytest.mark.parametrize(
    "description",
    [
        None,
        "{",
        json.dumps({"model": "Other", "config": {}}),
        json.dumps({"model": "ResUNet", "config": {"colour": "red"}}),
    ],
)
def test_weights_of_another_program_are_refused(model, tmp_path, description):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    rewrite(path, metadata={"geoset_model": description} if description else {"format": "pt"})
    with pytest.raises(GeosetError, match="does not say which network its weights are for"):
        geoset.load_model(path)


def test_keys_that_do_not_fit_are_listed(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)

    def change(state):
        del state["encoder.conv1.weight"]
        state["head.weight"] = torch.zeros(3)
        state["decoder.conv0.bias"] = torch.zeros(7)

    rewrite(path, change)
    with pytest.raises(GeosetError) as error:
        geoset.load_model(path)
    for part in (
        "missing: encoder.conv1.weight;",
        "unexpected: head.weight;",
        "of another shape: decoder.conv0.bias (7,) for (6,)",
        "Nothing was loaded",
    ):
        assert part in str(error.value)
