"""`encode`: the maps of an encoder by name, whatever the network around it."""

import pytest
import torch

from geoset import GeosetError, ResUNet
from geoset.models.dense import DenseNetwork
from geoset.models.detector import Detector
from geoset.models.segmenter import Segmenter

STRIDES = ["stride4", "stride8", "stride16", "stride32"]
NETWORKS = {
    "unet": lambda: ResUNet("resnet18", width=0.125),
    "convnext": lambda: DenseNetwork("test_convnext"),
    "vit": lambda: DenseNetwork("test_vit"),
    "deeplabv3": lambda: Segmenter("deeplabv3", "resnet18", ["a"], 0.125),
    "pspnet": lambda: Segmenter("pspnet", "resnet18", ["a"], 0.125),
    "detector": lambda: Detector("resnet18", ["a"], 0.125),
}
NAMES = {
    "vit": ["stride16_1", "stride16_2", "stride16_3", "stride16_4"],
    "deeplabv3": ["stride4", "stride8", "stride16_1", "stride16_2"],
    "pspnet": ["stride4", "stride8_1", "stride8_2", "stride8_3"],
}


@pytest.fixture(params=NETWORKS)
def kind(request):
    return request.param


@pytest.fixture
def network(kind):
    torch.manual_seed(0)
    return NETWORKS[kind]().eval()


@torch.inference_mode()
def test_maps_by_name(network, kind):
    images = torch.rand(2, 3, 64, 96)
    maps = network.encode(images)
    assert list(maps) == NAMES.get(kind, STRIDES)
    for (name, x), channels in zip(maps.items(), network.encoder.channels, strict=True):
        stride = int(name.removeprefix("stride").partition("_")[0])
        assert x.shape == (2, channels, 64 // stride, 96 // stride), name
    encoder = network.encoder
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (encoder.mean, encoder.std))
    for found, expected in zip(maps.values(), encoder((images - mean) / std), strict=True):
        torch.testing.assert_close(found, expected)


@torch.inference_mode()
def test_sizes_that_are_no_multiples():
    """50 x 70 stays as it is for a ResNet, and is brought to 64 x 64 for strides up to 32."""
    images = torch.rand(1, 3, 50, 70)
    sizes = {
        kind: [tuple(x.shape[-2:]) for x in NETWORKS[kind]().eval().encode(images).values()]
        for kind in ("unet", "convnext", "detector")
    }
    assert sizes["unet"] == sizes["detector"] == [(13, 18), (7, 9), (4, 5), (2, 3)]
    assert sizes["convnext"] == [(16, 16), (8, 8), (4, 4), (2, 2)]


@torch.inference_mode()
def test_an_image_smaller_than_the_coarsest_stride():
    maps = NETWORKS["convnext"]().eval().encode(torch.rand(1, 3, 5, 40))
    assert [tuple(x.shape[-2:]) for x in maps.values()] == [(8, 8), (4, 4), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(2, 64, 96, 3), r"\(2, 64, 96, 3\) torch.float32"),
        (torch.zeros(2, 3, 64, 96, dtype=torch.uint8), r"\(2, 3, 64, 96\) torch.uint8"),
        (torch.zeros(3, 64, 96), r"\(3, 64, 96\) torch.float32"),
    ],
)
def test_what_are_no_images(network, images, found):
    with pytest.raises(
        GeosetError, match=rf"images are {found}; expected \(B,3,H,W\) floating point in 0..1: move"
    ):
        network.encode(images)
