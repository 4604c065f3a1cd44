"""Narrow ResNets: their shortcuts leave pixels out before a convolution, not in it."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from geoset import GeosetError
from geoset.models.encoder import SAFE_CHANNELS, build_encoder

STEPS = """
import torch
from geoset.models.network import build_network

images = torch.rand(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
for name, width in (("resnet18", 1 / 16), ("resnet50", 1 / 32)):
    print(name, width, flush=True)
    network = build_network(name, 8, width).to(memory_format=torch.channels_last)
    for _ in range(2):
        network(images).sum().backward()
"""


def shortcuts(encoder):
    """The 1x1 convolutions at the beginning of a stage that halves the size."""
    return [layer[0].downsample[0] for layer in (encoder.layer2, encoder.layer3, encoder.layer4)]


@pytest.mark.parametrize(("width", "spared"), [(1 / 32, 2), (1 / 16, 1), (1 / 8, 0), (1, 0)])
def test_only_those_of_few_channels_are_spared(width, spared):
    strides = [shortcut.stride for shortcut in shortcuts(build_encoder("resnet18", width))]
    assert strides == [(1, 1)] * spared + [(2, 2)] * (3 - spared)
    assert SAFE_CHANNELS == 8


def test_it_is_the_same():
    encoder = build_encoder("resnet18", 1 / 32).eval()
    plain = deepcopy(encoder)
    for shortcut in shortcuts(plain):
        shortcut.stride = (2, 2)
        shortcut._forward_pre_hooks.clear()
    images = torch.rand(2, 3, 70, 90)
    for ours, theirs in zip(encoder(images), plain(images), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [*encoder.state_dict()] == [*plain.state_dict()]
    assert isinstance(shortcuts(encoder)[0], nn.Conv2d)


def test_tags():
    """timm's for its own backbones; a ResNet with one would be no ResNet to the rest."""
    with pytest.raises(GeosetError, match=r"'resnet18.a1_in1k': call it resnet18, and give other"):
        build_encoder("resnet18.a1_in1k")
    with pytest.raises(
        GeosetError, match=r"no such weights; with tags it has .*convnext_atto.d2_i"
    ):
        build_encoder("convnext_atto.nonsense")


def test_narrow_networks_train():
    """In a process of their own: what was wrong would end this one."""
    found = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stdout + found.stderr[-2000:]
