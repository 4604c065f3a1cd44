"""Decoders: from the maps of an encoder to dense features."""

import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

FLAT_WIDTH = 256


class UpProjection(nn.Module):
    """Upsample, then the sum of a 5x5-3x3 and of a 5x5 branch."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv1_2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn1_2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 5, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (B,C,h,w) to (B,C',*size)."""
        x = F.interpolate(x, size, mode="bilinear", align_corners=True)
        deep = self.bn1_2(self.conv1_2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(deep + self.bn2(self.conv2(x)))


class Decoder(nn.Module):
    """Four up-projections with added skips, up to twice the size of the finest encoder map.

    The decoder of Pri3D, and of the paper (implementation details, Sec. 4).
    """

    scale = 2

    def __init__(self, channels: tuple[int, ...], out_channels: int | None):
        super().__init__()
        c1, c2, c3, c4 = channels
        # A narrower last block would leave that many of the features' directions to use.
        last = out_channels or c1 // 2
        self.up1 = UpProjection(c4, c3)
        self.up2 = UpProjection(c3, c2)
        self.up3 = UpProjection(c2, c1)
        self.up4 = UpProjection(c1, last)
        self.conv0 = nn.Conv2d(last, last, 1)
        self.out_channels = last
        _initialise(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the encoder's four maps, finest first, to (B,C,h,w), twice the finest's size."""
        x1, x2, x3, x4 = maps
        x = self.up1(x4, x3.shape[-2:]) + x3
        x = self.up2(x, x2.shape[-2:]) + x2
        x = self.up3(x, x1.shape[-2:]) + x1
        return self.conv0(self.up4(x, _times(self.scale, x1)))


class FlatDecoder(nn.Module):
    """For maps of one stride: their sum in one width, then two up-projections to four times it."""

    scale = 4

    def __init__(self, channels: tuple[int, ...], out_channels: int | None):
        super().__init__()
        last = out_channels or FLAT_WIDTH // 2
        # Each depth of a ViT has a scale of its own, and a few channels that outshine the rest.
        self.projections = nn.ModuleList(
            nn.Sequential(LayerNorm2d(width), nn.Conv2d(width, FLAT_WIDTH, 1)) for width in channels
        )
        self.up1 = UpProjection(FLAT_WIDTH, FLAT_WIDTH // 2)
        self.up2 = UpProjection(FLAT_WIDTH // 2, last)
        self.conv0 = nn.Conv2d(last, last, 1)
        self.out_channels = last
        _initialise(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the encoder's maps, all of one size, to (B,C,h,w) of four times that size."""
        x = sum(project(x) for project, x in zip(self.projections, maps, strict=True))
        x = self.up1(x, _times(2, x))
        return self.conv0(self.up2(x, _times(2, x)))


def build_decoder(encoder: nn.Module, out_channels: int | None) -> nn.Module:
    """Return the decoder that the maps of an encoder call for.

    encoder: of `build_encoder`
    out_channels: of its features; None is half the width of the finest map, or 128 for a ViT
    """
    flat = len(set(encoder.reductions)) == 1
    return (FlatDecoder if flat else Decoder)(encoder.channels, out_channels)


def _times(factor: int, x: Tensor) -> tuple[int, int]:
    return factor * x.shape[-2], factor * x.shape[-1]


def _initialise(decoder: nn.Module) -> None:
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
