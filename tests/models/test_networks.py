"""What every image network keeps to, and what is particular to those that are no ResNets."""

from copy import deepcopy

import pytest
import timm
import torch
import torch.nn.functional as F

import geoset
from geoset import GeosetError, ResUNet
from geoset.models.dense import DenseNetwork
from geoset.models.encoder import EXAMPLES
from geoset.models.load import save_model
from geoset.models.network import build_network

SIZES = [(64, 96), (50, 70), (33, 17)]


@pytest.fixture(scope="class")
def network(request):
    torch.manual_seed(0)
    network = build_network(request.cls.encoder, 6, request.cls.width)
    with torch.no_grad():
        for _ in range(5):  # statistics that differ from a new network's
            network.train()(torch.rand(4, 3, 64, 96))
    return network.eval()


@pytest.fixture(scope="class")
def images():
    return torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="class")
def features(network, images):
    with torch.no_grad():
        return network(images)


class NetworkContract:
    """The checks that each family inherits; it names an encoder, and the sizes out of SIZES."""

    encoder: str
    width = 1.0
    feature_sizes: tuple

    def test_shape(self, network):
        for size, expected in zip(SIZES, self.feature_sizes, strict=True):
            with torch.no_grad():
                found = network(torch.rand(1, 3, *size))
            assert found.shape == (1, 6, *expected), size
            assert network.feature_size(*size) == expected, size
        height = network.feature_size(1024, 1024)[0]
        assert network.output_stride == pytest.approx(1024 / height, rel=0.02)

    def test_attributes(self, network):
        assert network.out_channels == 6
        assert network.config == {"encoder": self.encoder, "out_channels": 6, "width": self.width}
        assert len(network.encoder.channels) == len(network.encoder.reductions) == 4
        wanted = timm.get_pretrained_cfg(self.encoder)
        torch.testing.assert_close(network.mean.flatten(), torch.tensor(wanted.mean))
        torch.testing.assert_close(network.std.flatten(), torch.tensor(wanted.std))

    def test_maps_are_those_that_decoders_are_told_of(self, network):
        size = (448, 224)  # a whole number of every stride
        with torch.no_grad():
            maps = network.encoder(torch.rand(1, 3, *size))
        told = zip(network.encoder.channels, network.encoder.reductions, strict=True)
        assert [tuple(x.shape[1:]) for x in maps] == [
            (channels, size[0] // stride, size[1] // stride) for channels, stride in told
        ]

    def test_gradient_reaches_every_parameter(self, network, images):
        network = deepcopy(network).train()
        network(images).square().mean().backward()
        dead = [
            name
            for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]
        assert dead == []

    def test_saved_and_loaded(self, network, images, features, tmp_path):
        save_model(network, tmp_path / "model.safetensors")
        loaded = geoset.load_model(tmp_path)
        assert type(loaded) is type(network)
        assert loaded.config == network.config
        with torch.no_grad():
            assert torch.equal(loaded(images), features)

    def test_evaluation_is_a_function_of_each_image(self, network, images, features):
        with torch.no_grad():
            assert torch.equal(network(images), features)
            alone = network(images[1:])
        torch.testing.assert_close(alone, features[1:], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(features[0], features[1], atol=1e-2)

    def test_features_lie_where_the_image_has_them(self, network):
        images = torch.full((1, 3, 64, 96), 0.5)
        marked = images.clone()
        marked[:, :, 8:24, 64:88] = torch.rand(
            3, 16, 24, generator=torch.Generator().manual_seed(2)
        )
        with torch.no_grad():
            change = (network(marked) - network(images)).square().sum(dim=1)[0]
        height, width = change.shape
        y, x = divmod(int(change.argmax()), width)
        assert y < 0.5 * height
        assert x > 0.5 * width

    def test_channels_last(self, network, images, features):
        network = deepcopy(network).to(memory_format=torch.channels_last)
        with torch.no_grad():
            found = network(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, features, rtol=1e-3, atol=1e-3)

    def test_half_precision(self, network, images, features):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found = network(images).float()
        assert (found - features).norm() < 0.1 * features.norm()


class TestResNet(NetworkContract):
    encoder, width = "resnet18", 0.125
    feature_sizes = ((32, 48), (26, 36), (18, 10))


class TestConvNeXt(NetworkContract):
    encoder = "test_convnext"
    feature_sizes = ((32, 48), (32, 32), (16, 16))


class TestEfficientNet(NetworkContract):
    encoder = "test_efficientnet"  # its first map, of stride 2, is not used
    feature_sizes = ((32, 48), (32, 32), (16, 16))


class TestViT(NetworkContract):
    encoder = "test_vit"
    feature_sizes = ((16, 24), (12, 16), (8, 4))


class TestDINOv2(NetworkContract):
    encoder = "vit_small_patch14_dinov2"
    feature_sizes = ((20, 28), (16, 20), (8, 4))


class TestDINOv3(NetworkContract):
    encoder = "vit_tiny_patch16_dinov3_qkvb"
    feature_sizes = ((16, 24), (12, 16), (8, 4))


def test_a_frame_of_the_paper():
    """240 x 320: for patch 14 the nearest multiples are 17 x 14 = 238 and 23 x 14 = 322."""
    assert build_network("resnet18", width=0.125).feature_size(240, 320) == (120, 160)
    vit = build_network("vit_small_patch14_dinov2")
    assert vit.feature_size(240, 320) == (4 * 17, 4 * 23)
    assert vit.output_stride == 3.5
    assert vit.encoder.out_indices == [2, 5, 8, 11]


def test_images_are_resized_to_whole_patches():
    """50 x 70 becomes 48 x 64: what a caller would get by resizing first."""
    network = build_network("test_vit", 6).eval()
    images = torch.rand(1, 3, 50, 70)
    resized = F.interpolate(images, (48, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(network(images), network(resized), rtol=1e-4, atol=1e-4)


def test_the_kind_of_network():
    assert type(build_network("resnet34", width=0.125)) is ResUNet
    assert type(build_network("resnet18d")) is DenseNetwork
    assert type(build_network("test_convnext.r160_in1k")) is DenseNetwork  # a name with its tag


@pytest.mark.parametrize(
    ("encoder", "out_channels"), [("test_convnext", 12), ("test_vit", 128), ("test_resnet", 16)]
)
def test_default_width_of_the_features(encoder, out_channels):
    assert build_network(encoder).out_channels == out_channels


def test_unknown_names_show_close_ones():
    with pytest.raises(GeosetError) as error:
        build_network("resnett50")
    text = str(error.value)
    assert text.startswith(f"encoder 'resnett50' is unknown to timm {timm.__version__}; close to")
    assert "close to it: resnet50" in text
    assert text.endswith(
        "Choose for example one of: resnet18, resnet50, convnext_tiny, vit_small_patch14_dinov2, "
        "vit_small_patch16_dinov3; timm.list_models() lists all"
    )
    with pytest.raises(GeosetError, match=r"unknown to timm [\d.]+; Choose for example one of"):
        build_network("!")


def test_backbones_without_dense_maps_are_refused():
    with pytest.raises(
        GeosetError, match=r"'mixer_s16_224' of timm .* does not make 4 feature maps of images of"
    ):
        build_network("mixer_s16_224")


def test_only_resnets_have_a_width():
    with pytest.raises(
        GeosetError, match=r"encoder width 0.5: only resnet18, .* have a width; for test_vit leave"
    ):
        build_network("test_vit", width=0.5)


def test_examples_of_the_error_text_exist():
    assert all(timm.is_model(name) for name in EXAMPLES)
