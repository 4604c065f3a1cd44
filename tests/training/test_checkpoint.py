import pytest
import torch
from torch import nn

from geoset import GeosetError
from geoset.training.checkpoint import (
    checkpoint_path,
    load_checkpoint,
    newest_checkpoint,
    remove_checkpoints_after,
    save_checkpoint,
)


def model(value: float) -> nn.Module:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    return nn.Sequential(layer, nn.BatchNorm1d(2))


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_weights_and_state_come_back(tmp_path):
    state = {"optimizer": {"state": {0: {"momentum_buffer": torch.arange(3.0)}}}, "step": 12}
    folder = save_checkpoint(tmp_path, 12, model(2.0), state)
    restored = model(0.0)
    loaded = load_checkpoint(folder, restored)
    assert torch.equal(restored[0].weight, torch.full((2, 2), 2.0))
    assert loaded["step"] == 12
    assert torch.equal(loaded["optimizer"]["state"][0]["momentum_buffer"], torch.arange(3.0))


def test_the_newest_two_stay(tmp_path):
    for step in (1, 5, 100, 20_000_000_000):
        save_checkpoint(tmp_path, step, model(step), {})
    assert names(tmp_path) == ["step-00000100", "step-20000000000"]
    assert newest_checkpoint(tmp_path) == (
        checkpoint_path(tmp_path, 20_000_000_000),
        20_000_000_000,
    )


def test_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "checkpoint.json"])
@pytest.mark.parametrize("harm", ["flip", "shorten", "remove"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, harm):
    former = save_checkpoint(tmp_path, 1, model(1.0), {})
    file = save_checkpoint(tmp_path, 2, model(2.0), {}) / name
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    elif harm == "shorten":
        file.write_bytes(data[:-1])
    else:
        file.unlink()
    with pytest.warns(UserWarning, match="step-00000002: its files do not match their checksums"):
        assert newest_checkpoint(tmp_path) == (former, 1)


def test_half_written_and_later_checkpoints_are_removed(tmp_path):
    save_checkpoint(tmp_path, 1, model(1.0), {})
    save_checkpoint(tmp_path, 2, model(2.0), {})
    partial = tmp_path / "checkpoints" / ".step-00000003.part"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path)[1] == 2
    remove_checkpoints_after(tmp_path, 1)
    assert names(tmp_path) == ["step-00000001"]


@pytest.mark.parametrize("where", ["weights", "state"])
def test_full_disk_keeps_the_former_checkpoint(tmp_path, limit_file_size, where):
    former = save_checkpoint(tmp_path, 1, model(1.0), {})
    large = torch.ones(100_000)
    weights = nn.Sequential(nn.Linear(100_000, 1)) if where == "weights" else model(2.0)
    limit_file_size(100_000)
    expected = (
        r"step-00000002: the checkpoint cannot be written \(.*\). Former "
        "checkpoints are unchanged; make room, then run the same command with --resume"
    )
    with pytest.raises(GeosetError, match=expected):
        save_checkpoint(tmp_path, 2, weights, {"large": large} if where == "state" else {})
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert names(tmp_path) == ["step-00000001"]
    assert newest_checkpoint(tmp_path) == (former, 1)


def test_weights_of_another_model(tmp_path):
    folder = save_checkpoint(tmp_path, 1, model(1.0), {})
    with pytest.raises(
        GeosetError, match=r"(?s)the weights do not fit this model.*Missing key.*2.bias"
    ):
        load_checkpoint(folder, nn.Sequential(*model(1.0), nn.Linear(2, 2)))


def test_state_is_never_unpickled(tmp_path):
    folder = save_checkpoint(tmp_path, 1, model(1.0), {"code": print})
    with pytest.raises(Exception, match="Weights only load failed"):
        load_checkpoint(folder, model(0.0))
