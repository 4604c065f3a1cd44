import pytest
import torch
import torchvision

from geoset import GeosetError, ResUNet
from geoset.models.encoder import RESNETS, build_encoder
from reference.resunet import resunet


@pytest.fixture(scope="module")
def narrow():
    torch.manual_seed(0)
    return ResUNet("resnet18", out_channels=6, width=0.125)


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [
        ((96, 128), (48, 64)),
        ((240, 320), (120, 160)),
        ((97, 131), (50, 66)),
        ((33, 34), (18, 18)),
        ((36, 41), (18, 22)),
    ],
)
def test_features_have_half_the_resolution(narrow, image_size, expected):
    features = narrow(torch.rand(2, 3, *image_size))
    assert features.shape == (2, 6, *expected)
    assert narrow.feature_size(*image_size) == expected


def test_widths_at_full_size():
    with torch.device("meta"):
        small, large = ResUNet("resnet18"), ResUNet()
    assert (small.out_channels, large.out_channels) == (32, 128)
    assert small.output_stride == large.output_stride == 2
    assert small.encoder.channels == (64, 128, 256, 512)
    assert large.encoder.channels == (256, 512, 1024, 2048)
    assert large.encoder.reductions == (4, 8, 16, 32)
    assert large.decoder.up4.conv2.weight.shape == (128, 256, 5, 5)
    assert large.config == {"encoder": "resnet50", "out_channels": 128, "width": 1.0}


@pytest.mark.parametrize("name", RESNETS)
def test_parameters_bear_the_names_of_pri3d(name):
    with torch.device("meta"):
        own = ResUNet(name).state_dict()
        resnet = getattr(torchvision.models, name)().state_dict()
    encoder = {f"encoder.{key}": value for key, value in resnet.items() if key[:3] != "fc."}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    decoder = {"decoder.conv0.weight", "decoder.conv0.bias"}
    for block in (f"decoder.up{i}" for i in (1, 2, 3, 4)):
        decoder |= {f"{block}.{conv}.weight" for conv in ("conv1", "conv1_2", "conv2")}
        decoder |= {f"{block}.{bn}.{key}" for bn in ("bn1", "bn1_2", "bn2") for key in norm}
    assert own.keys() == encoder.keys() | decoder
    assert all(own[key].shape == value.shape for key, value in encoder.items())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_forward_equals_the_network_written_out(name, training):
    torch.manual_seed(1)
    model = ResUNet(name, out_channels=5, width=0.125).double()
    state = model.state_dict()
    for key, value in state.items():  # so that every scale and every statistic matters
        if "bn" in key or "downsample.1" in key:
            value.copy_(torch.rand(value.shape) + 0.5)
    images = torch.rand(2, 3, 70, 85, dtype=torch.float64)
    state = {key: value.clone() for key, value in state.items()}
    found = model.train(training)(images)
    torch.testing.assert_close(found, resunet(state, images, name, training), rtol=1e-9, atol=1e-9)


def test_the_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return ResUNet("resnet18", width=0.03125).state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_bad_arguments_are_named():
    with pytest.raises(
        GeosetError,
        match=r"encoder 'vgg16' is none of ResUNet's; choose one of: resnet18, .* or build_network",
    ):
        ResUNet("vgg16")
    with pytest.raises(GeosetError, match=r"encoder width 0.3: expected a positive multiple"):
        build_encoder("resnet18", 0.3)
    with pytest.raises(GeosetError, match="encoder width 0: expected a positive"):
        build_encoder("resnet18", 0)
    with pytest.raises(GeosetError, match="out_channels=0: expected at least 1, or None"):
        ResUNet("resnet18", 0)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        torch.zeros(2, 64, 64, 3),
        torch.zeros(3, 64, 64),
    ],
    ids=["bytes", "channels last", "no batch"],
)
def test_bad_images_are_named(narrow, images):
    with pytest.raises(GeosetError, match=r"images are \(.*expected \(B,3,H,W\) floating point"):
        narrow(images)


def test_a_narrow_network_uses_all_directions_of_its_features():
    """The last block is as wide as the features, so that they span more than its few channels."""
    torch.manual_seed(0)
    features = ResUNet("resnet18", out_channels=24, width=0.25)(torch.rand(2, 3, 64, 64))
    flat = features.detach().movedim(1, -1).flatten(0, -2).double()
    assert torch.linalg.matrix_rank(flat - flat.mean(dim=0), rtol=1e-5) == 24
