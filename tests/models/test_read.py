"""Weights are read from files of safetensors and of torch.save, and nothing in them is run."""

import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from geoset import GeosetError
from geoset.models.read import read_weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(3)}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def assert_state(found):
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"model": STATE, "step": 3},
        {"state_dict": STATE, "epoch": 1},
        {f"module.{key}": value for key, value in STATE.items()},
    ],
    ids=["alone", "model", "state_dict", "distributed"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch(tmp_path, content, zipped):
    path = saved(tmp_path / "a.pth", content, _use_new_zipfile_serialization=zipped)
    state, metadata = read_weights(path)
    assert_state(state)
    assert metadata == {}


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_files_of_safetensors(tmp_path, name):
    safetensors.torch.save_file(STATE, tmp_path / "model.safetensors", {"made": "here"})
    state, metadata = read_weights(tmp_path / name)
    assert_state(state)
    assert metadata == {"made": "here"}


@pytest.mark.parametrize("rows", [*range(120, 136)])
def test_content_tells_the_kind_of_file(tmp_path, rows):
    """Whatever the first byte of a safetensors file, its header's length, happens to be."""
    path = tmp_path / "weights.bin"
    safetensors.torch.save_file({"w" * rows: torch.zeros(1)}, path)
    assert list(read_weights(path)[0]) == ["w" * rows]


def test_a_missing_file(tmp_path):
    with pytest.raises(GeosetError, match=r"none.pth: no such file. Give the .safetensors or .pth"):
        read_weights(tmp_path / "none.pth")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_of_a_file_is_run(tmp_path, zipped):
    path = tmp_path / "evil.pth"
    content = {"model": {**STATE, "x": Evil(tmp_path / "ran")}}
    saved(path, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(GeosetError) as error:
        read_weights(path)
    assert f"evil.pth: holds more than weights ({os.mkdir.__module__}.mkdir)" in str(error.value)
    assert "torch.save(model.state_dict(), 'weights.pth')" in str(error.value)
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_numbers_of_numpy_are_more_than_weights(tmp_path):
    path = saved(tmp_path / "a.pth", {"model": STATE, "best": np.float64(0.5)})
    with pytest.raises(GeosetError, match=r"a.pth: holds more than weights \(numpy"):
        read_weights(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"some text that is no checkpoint",
        pickle.dumps([1], protocol=2),
        b"PK\x03\x04 cut",
        b"12345678{",
    ],
    ids=["empty", "text", "pickle", "zip", "safetensors"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(GeosetError, match=r"a.pth: (neither|not) a safetensors file|holds a list"):
        read_weights(path)


def test_a_file_of_torch_cut_short(tmp_path):
    path = saved(tmp_path / "a.pth", STATE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GeosetError, match=r"neither a safetensors .* or cut short .*Copy it again"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "holds a list; expected tensors by name"),
        ({}, "holds a dict; expected"),
        ({"model": {**STATE, "step": 3}}, "not tensors: step; expected"),
        ({"weights": STATE, "epoch": 1}, "not tensors: weights, epoch; expected"),
    ],
)
def test_files_without_tensors_by_name(tmp_path, content, named):
    with pytest.raises(GeosetError, match=named):
        read_weights(saved(tmp_path / "a.pth", content))
