"""The residual U-Net of Pri3D and of the paper (implementation details, Sec. 4)."""

from geoset.errors import GeosetError
from geoset.models.dense import DenseNetwork
from geoset.models.encoder import RESNETS


class ResUNet(DenseNetwork):
    """A ResNet encoder with the up-projection decoder of Pri3D: dense features at half resolution.

    encoder: "resnet18", "resnet34", "resnet50", "resnet101" or "resnet152"
    out_channels: C of the features, and width of the decoder's last block; None is half the width
        of the block before it, which at full width is Pri3D's: 128 for resnet50, 32 for resnet18
    width: factor on the encoder's width, a multiple of 1/32; below 1 for training on a CPU

    Features are (2*ceil(H/4), 2*ceil(W/4)). `config` holds the arguments that rebuild the network,
    `output_stride` the pixels a feature spans. Weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(
        self, encoder: str = "resnet50", out_channels: int | None = None, width: float = 1.0
    ):
        if encoder not in RESNETS:
            raise GeosetError(
                f"encoder '{encoder}' is none of ResUNet's; choose one of: {', '.join(RESNETS)}, "
                "or build_network for others of timm"
            )
        super().__init__(encoder, out_channels, width)
