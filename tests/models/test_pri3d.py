"""Checkpoints of Pri3D give the outputs of the original network."""

import pytest
import torch
from torchvision.transforms.functional import normalize

import geoset
from geoset import GeosetError
from reference.pri3d import pri3d

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save(network, path, change=None, prefix=""):
    """Write a checkpoint as Pri3D does, `change` applied to its tensors."""
    state = {prefix + key: value for key, value in network.state_dict().items()}
    if change:
        change(state)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    content = {"step": 5, "optimizer": optimizer.state_dict(), "scheduler": {"last_epoch": 9}}
    torch.save(content | {"model": state}, path)
    return path


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return pri3d("resnet18", heads=True)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_outputs_are_those_of_the_original(name, tmp_path):
    torch.manual_seed(1)
    original = pri3d(name)
    images = torch.rand(2, 3, 70, 85)
    with torch.no_grad():
        expected = original(normalize(images, MEAN, STD))
    path = save(original, tmp_path / "checkpoint5.pth")
    del original
    model = geoset.load_model(path)
    path.unlink()  # 700 MB
    assert type(model) is geoset.ResUNet
    assert model.config["encoder"] == name
    assert not model.training
    with torch.no_grad():
        found = model(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_heads_are_skipped_and_counted(small, tmp_path):
    def change(state):
        state["backbone.encoder.fc.weight"] = torch.zeros(1000, 512)

    path = save(small, tmp_path / "geo.pth", change)
    with pytest.warns(UserWarning) as caught:
        geoset.load_model(path)
    assert str(caught[0].message) == (
        f"{path}: resnet18 of Pri3D; skipped 1 of backbone.encoder.fc.* (classifier), "
        "7 of backbone3d.* (3D network), 2 of w2d.* (Geo head of pixels), "
        "2 of w3d.* (Geo head of points), 2 of headnet.* (depth head), "
        "1 of headloss.* (depth loss)"
    )
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*of Pri3D; skipped")
def test_the_prefix_of_distributed_training_is_taken_off(small, tmp_path):
    path = save(small, tmp_path / "ddp.pth", prefix="module.")
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        found, expected = geoset.load_model(path)(images), small(normalize(images, MEAN, STD))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*of Pri3D; skipped")
def test_keys_that_pri3d_does_not_have_are_listed(small, tmp_path):
    def change(state):
        del state["backbone.decoder.up2.bn1.weight"]
        state["backbone.decoder.up1.conv1.bias"] = torch.zeros(256)
        state["backbone4d.weight"] = torch.zeros(3)

    with pytest.raises(GeosetError) as error:
        geoset.load_model(save(small, tmp_path / "checkpoint.pth", change))
    assert (
        "the weights do not fit ResUNet (missing: decoder.up2.bn1.weight; unexpected: "
        "backbone4d.weight, decoder.up1.conv1.bias)"
    ) in str(error.value)


@pytest.mark.filterwarnings("ignore:.*of Pri3D; skipped")
def test_an_encoder_without_its_decoder_is_no_model(small, tmp_path):
    def change(state):
        for key in [key for key in state if "decoder" in key]:
            del state[key]

    with pytest.raises(GeosetError, match=r"missing: decoder.conv0.bias, .* and \d+ more"):
        geoset.load_model(save(small, tmp_path / "encoder.pth", change))
