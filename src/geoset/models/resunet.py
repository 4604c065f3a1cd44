"""The residual U-Net of Pri3D and of the paper (implementation details, Sec. 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.models.encoder import build_encoder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
    """Four up-projections with added skips, up to twice the size of the finest encoder map."""

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
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the encoder's four maps, finest first, to (B,C,h,w)."""
        x1, x2, x3, x4 = features
        x = self.up1(x4, x3.shape[-2:]) + x3
        x = self.up2(x, x2.shape[-2:]) + x2
        x = self.up3(x, x1.shape[-2:]) + x1
        height, width = x1.shape[-2:]
        return self.conv0(self.up4(x, (2 * height, 2 * width)))


class ResUNet(nn.Module):
    """A ResNet encoder with the up-projection decoder of Pri3D: dense features at half resolution.

    encoder: "resnet18" or "resnet50"
    out_channels: C of the features, and width of the decoder's last block; None is half the width
        of the block before it, which at full width is Pri3D's: 128 for resnet50, 32 for resnet18
    width: factor on the encoder's width, a multiple of 1/32; below 1 for training on a CPU

    `config` holds the arguments that rebuild the network, `output_stride` the pixels a feature
    spans. Weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(
        self, encoder: str = "resnet50", out_channels: int | None = None, width: float = 1.0
    ):
        super().__init__()
        if out_channels is not None and out_channels < 1:
            raise GeosetError(f"out_channels={out_channels}: expected at least 1, or None")
        self.encoder = build_encoder(encoder, width)
        self.decoder = Decoder(self.encoder.channels, out_channels)
        self.output_stride = self.encoder.reductions[0] // 2
        self.out_channels = self.decoder.conv0.out_channels
        self.config = {"encoder": encoder, "out_channels": self.out_channels, "width": width}
        # Not persistent: checkpoints hold the keys of Pri3D and no others.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images (B,3,H,W), float in 0..1, to features (B,C,2*ceil(H/4),2*ceil(W/4)).

        ImageNet's mean and standard deviation are applied here, not by the caller.

        Raises:
            GeosetError: the images are not (B,3,H,W), or not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise GeosetError(
                f"images are {tuple(images.shape)} {images.dtype}; expected (B,3,H,W) floating "
                "point in 0..1: move the channels first and divide bytes by 255"
            )
        return self.decoder(self.encoder((images - self.mean) / self.std))
