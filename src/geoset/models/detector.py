"""Mask R-CNN with a feature pyramid (FPN) on an encoder of `build_encoder`."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from geoset.errors import GeosetError
from geoset.models.encoder import RESNETS, build_encoder
from geoset.models.image_network import encoder_maps, named_maps

STRIDES = (4, 8, 16, 32)  # of the encoder's maps; the pyramid has one of 64 on top
POOLED = 7  # cells across a region
SMALLEST_ANCHOR, AT_SIDE = 32, 800  # as in FPN: pixels, for images of so many on their short side
SIZES = (640, 672, 704, 736, 768, 800)


class Detector(MaskRCNN):
    """Mask R-CNN R50-FPN of torchvision, for any encoder with maps of strides 4, 8, 16 and 32.

    encoder: a name for `build_encoder`
    classes: names of what is to be detected; label 0 of torchvision is the background
    width: factor on the width of a ResNet and of the heads (FPN and masks 256, boxes 1024), a
        multiple of 1/32; below 1 for training on a CPU
    frozen: keep every BatchNorm of a ResNet as it is, and the stem and the first stage too, as
        detectron2 does; for pre-trained weights only
    sizes: short sides that images are scaled to, one drawn for each in training, the last at test
    max_size: of the long side; takes precedence
    regions: proposals of an image that the heads learn from

    Called with a list of images (3,H,W), float in 0..1, of any sizes; in training also with as many
    targets: dicts of boxes (K,4) x1, y1, x2, y2, labels (K,) from 1 and masks (K,H,W) uint8. In
    training returns the losses by name; in evaluation a dict for each image, of boxes, labels,
    scores and masks (K,1,H,W) of probabilities. The encoder's mean and standard deviation are
    applied inside. The smallest anchors have 32 pixels where the short side has 800, fewer on
    smaller images, but no less than 8; from map to map they double. `config` holds the arguments
    that rebuild the network; weights are drawn from torch's global generator.

    Raises:
        GeosetError: an argument is not one of those offered.
    """

    def __init__(
        self,
        encoder: str,
        classes: Sequence[str],
        width: float = 1.0,
        *,
        frozen: bool = False,
        sizes: Sequence[int] = SIZES,
        max_size: int = 1333,
        regions: int = 32,
    ) -> None:
        backbone = _Pyramid(build_encoder(encoder, width), int(256 * width))
        _check(encoder, classes, frozen, sizes, max_size)
        channels, hidden = backbone.out_channels, int(1024 * width)
        smallest = max(2 * STRIDES[0], SMALLEST_ANCHOR * max(sizes) // AT_SIDE)
        super().__init__(
            backbone,
            min_size=tuple(sizes),
            max_size=max_size,
            image_mean=backbone.body.mean,
            image_std=backbone.body.std,
            rpn_anchor_generator=AnchorGenerator(
                tuple((smallest * 2**level,) for level in range(len(STRIDES) + 1)),
                ((0.5, 1.0, 2.0),) * (len(STRIDES) + 1),
            ),
            box_head=TwoMLPHead(channels * POOLED**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, len(classes) + 1),
            box_batch_size_per_image=regions,
            mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(channels, channels, len(classes) + 1),
        )
        self.config = {
            "encoder": encoder,
            "classes": list(classes),
            "width": width,
            "frozen": frozen,
            "sizes": list(sizes),
            "max_size": max_size,
            "regions": regions,
        }
        for part in _kept(self.encoder) if frozen else ():
            part.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        """The encoder, as `build_encoder` made it."""
        return self.backbone.body

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; those of torchvision's labels 1, 2, ..."""
        return tuple(self.config["classes"])

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Map RGB images (B,3,H,W), float in 0..1, to the encoder's maps, as `ImageNetwork.encode`.

        They are not scaled to `sizes`: that is for detection.
        """
        encoder = self.encoder
        mean, std = (images.new_tensor(x).view(3, 1, 1) for x in (encoder.mean, encoder.std))
        return named_maps(encoder, encoder_maps(encoder, images, mean, std))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for part in _kept(self.encoder) if self.config["frozen"] else ():
            part.eval()
        return self


class _Pyramid(nn.Module):
    """An encoder and the FPN on its maps: images (B,3,H,W), normalised, to five maps by name."""

    def __init__(self, encoder: nn.Module, channels: int) -> None:
        super().__init__()
        if tuple(encoder.reductions) != STRIDES:
            raise GeosetError(
                f"the encoder makes maps of strides {', '.join(map(str, encoder.reductions))}; "
                f"Mask R-CNN wants {', '.join(map(str, STRIDES))}. Choose a ResNet, or another "
                "encoder with growing strides such as convnext_tiny"
            )
        # torchvision's name: its tools read the weights, and none takes them for Pri3D's.
        self.body, self.out_channels = encoder, channels
        self.fpn = FeaturePyramidNetwork(encoder.channels, channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.fpn({str(level): x for level, x in enumerate(self.body(images))})


def _kept(encoder: nn.Module) -> list[nn.Module]:
    """Return the parts of a ResNet that a frozen one keeps."""
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [encoder.conv1, encoder.layer1, *norms]


def _check(
    encoder: str, classes: Sequence[str], frozen: bool, sizes: Sequence[int], max_size: int
) -> None:
    if len(classes) == 0 or len(set(classes)) < len(classes):
        raise GeosetError(
            f"classes of instances: {', '.join(classes) or 'none'}; expected one or more, each "
            "once. Choose data with instances"
        )
    if frozen and encoder not in RESNETS:
        raise GeosetError(
            f"frozen: encoder '{encoder}' has no stem and first stage by name; only "
            f"{', '.join(RESNETS)} can be frozen. Leave it off"
        )
    if not sizes or min(sizes) < STRIDES[-1] or max_size < max(sizes):
        raise GeosetError(
            f"image sizes {', '.join(map(str, sizes)) or 'none'}, at most {max_size}: expected "
            f"short sides of {STRIDES[-1]} or more, none above the longest side"
        )
