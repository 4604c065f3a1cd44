"""Image encoders: timm backbones that return one feature map a stage.

An encoder maps (B,3,H,W) to four maps, finest first, and says of each its width (`channels`)
and its stride (`reductions`). Decoders ask these two and nothing else.
"""

import timm
from torch import nn

from geoset.errors import GeosetError

RESNETS = ("resnet18", "resnet50")
RESNET_WIDTHS = (64, 128, 256, 512)


def build_encoder(name: str, width: float = 1.0) -> nn.Module:
    """Return a randomly initialised encoder whose parameters bear torchvision's names.

    width: factor on the width of the four stages, a multiple of 1/32; the stem keeps its 64.

    Raises:
        GeosetError: the name or the width is not one of those offered.
    """
    if name not in RESNETS:
        raise GeosetError(f"encoder '{name}' is unknown; choose one of: {', '.join(RESNETS)}")
    # The decoder halves the narrowest stage once more: all widths must stay whole numbers.
    if width <= 0 or width * 32 % 1:
        raise GeosetError(
            f"encoder width {width:g}: expected a positive multiple of 1/32; 0.25 is a narrow "
            "network for a CPU, 1 the original"
        )
    encoder = timm.create_model(
        name,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        pretrained=False,
        channels=tuple(int(channels * width) for channels in RESNET_WIDTHS),
        # As in torchvision: with zeros, the branches' first convolutions get no gradient at first.
        zero_init_last=False,
    )
    encoder.channels = tuple(encoder.feature_info.channels())
    encoder.reductions = tuple(encoder.feature_info.reduction())
    return encoder
