"""Networks for dense features: an encoder, and the decoder that its maps call for."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.models.decoder import Decoder, FlatDecoder
from geoset.models.encoder import build_encoder


class DenseNetwork(nn.Module):
    """Dense features from any backbone of timm that makes feature maps.

    encoder: its name in timm, such as "convnext_tiny" or "vit_small_patch14_dinov2"
    out_channels: C of the features, and width of the decoder's last block; None is half the width
        of the encoder's finest map, or 128 for a ViT
    width: factor on a ResNet's width, a multiple of 1/32; below 1 for training on a CPU

    Maps of growing strides go through the decoder of Pri3D, those of one stride (ViTs) through one
    with two of its up-projections. `config` holds the arguments that rebuild the network;
    `output_stride` is the pixels a feature spans: half the stride of the encoder's finest map, or a
    quarter of a ViT's patch. Weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(self, encoder: str, out_channels: int | None = None, width: float = 1.0):
        super().__init__()
        if out_channels is not None and out_channels < 1:
            raise GeosetError(f"out_channels={out_channels}: expected at least 1, or None")
        self.encoder = build_encoder(encoder, width)
        flat = len(set(self.encoder.reductions)) == 1
        self.decoder = (FlatDecoder if flat else Decoder)(self.encoder.channels, out_channels)
        self.output_stride = self.encoder.reductions[0] / self.decoder.scale
        self.out_channels = self.decoder.conv0.out_channels
        self.config = {"encoder": encoder, "out_channels": self.out_channels, "width": width}
        # Not persistent: checkpoints hold the keys of Pri3D and no others.
        for name in ("mean", "std"):
            value = torch.tensor(getattr(self.encoder, name)).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def feature_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the features of images of (height, width)."""
        stride, scale = self.encoder.reductions[0], self.decoder.scale
        rows, columns = self._input_size(height, width)
        return scale * -(-rows // stride), scale * -(-columns // stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images (B,3,H,W), float in 0..1, to features (B,C,*feature_size(H,W)).

        The encoder's mean and standard deviation are applied here, not by the caller. Sizes are
        free: for a ViT, images are resized to the nearest multiple of its patch, for others but
        ResNets to that of the coarsest stride; they are never padded.

        Raises:
            GeosetError: the images are not (B,3,H,W), or not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise GeosetError(
                f"images are {tuple(images.shape)} {images.dtype}; expected (B,3,H,W) floating "
                "point in 0..1: move the channels first and divide bytes by 255"
            )
        height, width = images.shape[-2:]
        images = (images - self.mean) / self.std
        size = self._input_size(height, width)
        if size != (height, width):
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return self.decoder(self.encoder(images), self.feature_size(height, width))

    def _input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the nearest size that the encoder takes."""
        multiple = self.encoder.multiple
        rows, columns = (max(1, (n + multiple // 2) // multiple) for n in (height, width))
        return rows * multiple, columns * multiple
