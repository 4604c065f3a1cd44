"""Networks for dense features: an encoder, and the decoder that its maps call for."""

from torch import Tensor

from geoset.errors import GeosetError
from geoset.models.decoder import build_decoder
from geoset.models.image_network import ImageNetwork


class DenseNetwork(ImageNetwork):
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
        if out_channels is not None and out_channels < 1:
            raise GeosetError(f"out_channels={out_channels}: expected at least 1, or None")
        super().__init__(encoder, width)
        self.decoder = build_decoder(self.encoder, out_channels)
        self.output_stride = self.encoder.reductions[0] / self.decoder.scale
        self.out_channels = self.decoder.out_channels
        self.config = {"encoder": encoder, "out_channels": self.out_channels, "width": width}

    def feature_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the features of images of (height, width)."""
        stride, scale = self.encoder.reductions[0], self.decoder.scale
        rows, columns = self.input_size(height, width)
        return scale * -(-rows // stride), scale * -(-columns // stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images (B,3,H,W), float in 0..1, to features (B,C,*feature_size(H,W)).

        Raises:
            GeosetError: as `encode`, which says what becomes of the images.
        """
        return self.decoder(self.maps(images))
