"""What every segmentation network keeps to, for each kind of encoder."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

import geoset
from geoset import GeosetError, ResUNet
from geoset.models.load import network_config, save_model
from geoset.models.segmenter import OUTPUT_STRIDES, Segmenter
from reference.pri3d import pri3d

CLASSES = ("wall", "floor", "chair")
ENCODERS = {"resnet18": 0.125, "resnet50": 0.125, "test_convnext": 1.0, "test_vit": 1.0}

every_architecture = pytest.mark.parametrize("architecture", OUTPUT_STRIDES)


@cache
def built(architecture, encoder="resnet18", void=False):
    """A network with statistics that differ from a new one's; not to be changed."""
    torch.manual_seed(0)
    network = Segmenter(architecture, encoder, CLASSES, ENCODERS[encoder], void=void)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(4, 3, 48, 64))
    return network.eval()


@every_architecture
@pytest.mark.parametrize("encoder", ENCODERS)
class TestContract:
    @torch.no_grad()
    def test_scores_have_the_size_of_the_images(self, architecture, encoder):
        for size in [(48, 64), (50, 70), (33, 47)]:
            assert built(architecture, encoder)(torch.rand(1, 3, *size)).shape == (1, 3, *size)

    def test_gradient_reaches_every_parameter(self, architecture, encoder):
        torch.manual_seed(1)
        network = Segmenter(architecture, encoder, CLASSES, ENCODERS[encoder])
        sum(x.square().mean() for x in network(torch.rand(2, 3, 64, 96), auxiliary=True)).backward()
        dead = [
            name
            for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]
        assert dead == []

    def test_saved_and_loaded(self, architecture, encoder, tmp_path):
        network = built(architecture, encoder, void=True)
        save_model(network, tmp_path / "model.safetensors")
        loaded = geoset.load_model(tmp_path)
        assert (loaded.classes, loaded.void) == (CLASSES, True)
        assert loaded.config == network.config
        images = torch.rand(2, 3, 48, 64)
        with torch.no_grad():
            assert torch.equal(loaded(images), network(images))


@every_architecture
def test_dilation_keeps_the_strides_of_the_papers(architecture):
    maps = built(architecture).encoder(torch.rand(1, 3, 64, 96))
    stride = OUTPUT_STRIDES[architecture]
    assert [64 // x.shape[-2] for x in maps] == [min(s, stride) for s in (4, 8, 16, 32)]
    assert built(architecture).encoder.reductions == tuple(min(s, stride) for s in (4, 8, 16, 32))


def test_dilated_convolutions_see_what_strided_ones_saw():
    """At the pixels that the stride leaves, the dilated stages compute the same: by definition."""
    strided, dilated = built("unet").encoder, built("deeplabv3").encoder
    state = dilated.state_dict()
    own = strided.state_dict()
    images = torch.rand(1, 3, 64, 96)
    try:
        dilated.load_state_dict(own)
        with torch.no_grad():
            torch.testing.assert_close(dilated(images)[-1][..., ::2, ::2], strided(images)[-1])
    finally:
        dilated.load_state_dict(state)


def test_the_unet_is_the_pretrained_network_and_a_last_layer():
    network, dense = built("unet"), ResUNet("resnet18", width=0.125).eval()
    dense.load_state_dict({k: v for k, v in network.state_dict().items() if "head" not in k})
    images = torch.rand(2, 3, 50, 70)
    with torch.no_grad():
        scores = torch.einsum("bchw,kc->bkhw", dense(images), network.head.weight[:, :, 0, 0])
        scores = scores + network.head.bias[:, None, None]
        expected = F.interpolate(scores, (50, 70), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(images), expected)


@every_architecture
def test_scores_lie_where_the_image_has_them(architecture):
    images = torch.full((1, 3, 96, 128), 0.5)
    marked = images.clone()
    marked[:, :, :32, 96:] = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(2))
    network = built(architecture)
    with torch.no_grad():
        change = (network(marked) - network(images)).square().sum(dim=1)[0]
    assert change[:48, 64:].mean() > 2 * change[48:, :64].mean()


@every_architecture
def test_auxiliary_scores_are_of_pspnet_alone(architecture):
    scores = built(architecture)(torch.rand(1, 3, 48, 64), auxiliary=True)
    assert [x.shape for x in scores] == [(1, 3, 48, 64)] * (1 + (architecture == "pspnet"))


def test_void_is_channel_0_and_label_minus_1():
    network = built("unet", void=True)
    images = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        scores = network(images)
    assert scores.shape[1] == 4
    plain = built("unet")(images).detach()
    assert torch.equal(network.labels_of(scores), scores.argmax(dim=1) - 1)
    assert torch.equal(built("unet").labels_of(plain), plain.argmax(dim=1))


def test_what_a_file_says_of_its_network(tmp_path):
    save_model(built("deeplabv3"), tmp_path / "a.safetensors")
    save_model(ResUNet("resnet18", 6, 0.125), tmp_path / "b.safetensors")
    torch.save({"model": pri3d("resnet18", heads=True).state_dict()}, tmp_path / "c.pth")
    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "d.pth")
    narrow = {"encoder": "resnet18", "width": 0.125}
    segmenter = {"model": "Segmenter", "out_channels": None}
    assert network_config(tmp_path / "a.safetensors") == narrow | segmenter
    dense = {"model": "ResUNet", "out_channels": 6}
    assert network_config(tmp_path / "b.safetensors") == narrow | dense
    of_pri3d = {"model": "ResUNet", "encoder": "resnet18", "width": 1.0, "out_channels": 32}
    assert network_config(tmp_path / "c.pth") == of_pri3d
    assert network_config(tmp_path / "d.pth") == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fcn", "resnet18", CLASSES), "'fcn' is unknown; choose from unet, deeplabv3, deeplabv3p"),
        (("unet", "resnet18", ()), r"classes are \[\]; expected names, each once"),
        (("unet", "resnet18", ("a", "a")), r"classes are \['a', 'a'\]; expected names, each once"),
        (("pspnet", "resnet19", CLASSES), "encoder 'resnet19' is unknown to timm"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(GeosetError, match=message):
        Segmenter(*arguments)


def test_bytes_are_refused():
    with pytest.raises(GeosetError, match=r"images are \(1, 3, 32, 32\) torch.uint8; expected"):
        built("pspnet")(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
