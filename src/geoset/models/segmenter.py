"""Networks for semantic segmentation: an encoder, and the decoder of a known architecture."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.deeplabv3.decoder import (
    DeepLabV3Decoder,
    DeepLabV3PlusDecoder,
)
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.models.decoder import build_decoder
from geoset.models.image_network import ImageNetwork

OUTPUT_STRIDES = {"unet": 32, "deeplabv3": 16, "deeplabv3plus": 16, "pspnet": 8}
"""The architectures, and the stride from which on a ResNet is dilated: those of their papers."""

ATROUS_RATES = (6, 12, 18)  # for output stride 16 (DeepLabV3, Sec. 4.1)
DROPOUT = 0.1


class Segmenter(ImageNetwork):
    """Scores of classes for each pixel.

    architecture: "unet", the decoder of pre-training, with a new last layer; "deeplabv3",
        "deeplabv3plus" or "pspnet", whose decoders are those of segmentation_models_pytorch
    encoder: its name in timm
    classes: their names; class k has the label k
    width: factor on the width of a ResNet, and of the decoders; a multiple of 1/32
    void: also score "none of the classes", as channel 0 before all others (Pri3D)
    out_channels: of the U-Net's features, see `DenseNetwork`
    size: (H,W) of the images that it is trained for; the network itself takes any

    ResNets are dilated to the architecture's output stride. Other encoders keep their strides: the
    coarsest map of a ConvNeXt is of stride 32 for all architectures, and DeepLabV3+ finds no finer
    map in a ViT than that of its patches. `config` holds the arguments that rebuild the network.
    Weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(
        self,
        architecture: str,
        encoder: str,
        classes: Sequence[str],
        width: float = 1.0,
        *,
        void: bool = False,
        out_channels: int | None = None,
        size: Sequence[int] | None = None,
    ):
        if architecture not in OUTPUT_STRIDES:
            raise GeosetError(
                f"architecture '{architecture}' is unknown; choose from {', '.join(OUTPUT_STRIDES)}"
            )
        if not classes or len(set(classes)) < len(classes):
            raise GeosetError(f"classes are {list(classes)}; expected names, each once")
        super().__init__(encoder, width, OUTPUT_STRIDES[architecture])
        self.classes, self.void = tuple(classes), void
        self.size = None if size is None else tuple(size)
        channels = len(classes) + void
        self.decoder = _build_decoder(architecture, self.encoder, out_channels)
        self.head = nn.Conv2d(self.decoder.out_channels, channels, 1)
        self.auxiliary = None
        if architecture == "pspnet":
            self.auxiliary = _auxiliary_head(self.encoder.channels[-2], channels)
        self.config = {
            "architecture": architecture,
            "encoder": encoder,
            "classes": list(classes),
            "width": width,
            "void": void,
            "out_channels": self.decoder.out_channels if architecture == "unet" else None,
            "size": self.size and list(self.size),
        }

    def forward(self, images: Tensor, auxiliary: bool = False) -> Tensor | tuple[Tensor, ...]:
        """Map RGB images (B,3,H,W), float in 0..1, to scores (B,K,H,W).

        K: classes, and one more in front with `void`
        auxiliary: return a tuple of the scores, and of those of the auxiliary head where the
            architecture has one (PSPNet, Sec. 3.2); for training

        Raises:
            GeosetError: the images are not (B,3,H,W), or not floating point.
        """
        maps = self.maps(images)
        size = images.shape[-2:]
        scores = _resize(self.head(self.decoder(maps)), size)
        if not auxiliary:
            return scores
        if self.auxiliary is None:
            return (scores,)
        return scores, _resize(self.auxiliary(maps[-2]), size)

    def labels_of(self, scores: Tensor) -> Tensor:
        """Return the label of each pixel, (B,H,W) int64, -1 where `void` scores best."""
        return scores.argmax(dim=1) - int(self.void)


class _DeepLabV3PlusDecoder(DeepLabV3PlusDecoder):
    """That of segmentation_models_pytorch, for maps of any strides and sizes."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        coarse, fine = self.aspp(maps[-1]), self.block1(maps[0])
        return self.block2(torch.cat([_resize(coarse, fine.shape[-2:]), fine], dim=1))


def _build_decoder(architecture: str, encoder: nn.Module, out_channels: int | None) -> nn.Module:
    """Return a decoder of the encoder's maps, which says its `out_channels`."""
    if architecture == "unet":
        return build_decoder(encoder, out_channels)
    out_channels = max(1, int((512 if architecture == "pspnet" else 256) * encoder.width))
    of_aspp = {"out_channels": out_channels, "atrous_rates": ATROUS_RATES, "aspp_dropout": DROPOUT}
    if architecture == "deeplabv3":
        decoder = DeepLabV3Decoder(encoder.channels[-1], aspp_separable=False, **of_aspp)
    elif architecture == "deeplabv3plus":
        # It takes the channels of the finest map from the third place.
        decoder = _DeepLabV3PlusDecoder(
            (0, 0, *encoder.channels), 5, output_stride=16, aspp_separable=True, **of_aspp
        )
    else:
        decoder = PSPDecoder(encoder.channels, out_channels=out_channels, dropout=DROPOUT)
    decoder.out_channels = out_channels
    return decoder


def _auxiliary_head(in_channels: int, classes: int) -> nn.Module:
    between = max(1, in_channels // 4)
    return nn.Sequential(
        nn.Conv2d(in_channels, between, 3, padding=1, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(),
        nn.Dropout2d(DROPOUT),
        nn.Conv2d(between, classes, 1),
    )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
