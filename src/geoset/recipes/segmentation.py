"""Fine-tuning for semantic segmentation: what the protocols fix, and the settings of a run."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from geoset.recipes.checks import require
from geoset.recipes.length import require_length
from geoset.recipes.optimizer import OptimizerSettings


class SegmentationProtocol(NamedTuple):
    """What counts.

    void: "none of the classes" is learned and predicted, too; pixels predicted so do not count
    absent_as_zero: a class that is neither there nor predicted has an IoU of 0; or else it is left
        out of the mean
    best: the weights are those of the snapshot that is best on the validation data, not the last
    """

    void: bool
    absent_as_zero: bool
    best: bool


PROTOCOLS: dict[str, SegmentationProtocol] = {
    # Pri3D's and the paper's, to compare with published numbers.
    "pri3d": SegmentationProtocol(void=True, absent_as_zero=True, best=True),
    "strict": SegmentationProtocol(void=False, absent_as_zero=False, best=False),
}


_UNET_SGD = OptimizerSettings(lr=0.01, batchnorm_decay=True)


@dataclass(frozen=True)
class SegmentationSettings:
    """Fine-tuning for semantic segmentation; the defaults are Pri3D's U-Net."""

    architecture: Literal["unet", "deeplabv3", "deeplabv3plus", "pspnet"] = "unet"
    """unet: the pre-trained network with a new last layer; others: a decoder on its encoder"""
    protocol: Literal["pri3d", "strict"] = "strict"
    """what counts: pri3d as published, or strict; results say which"""
    backbone: str = "resnet50"
    """encoder, unless the file of weights says which: resnet18, or any other of timm"""
    width: float = 1.0
    """factor on the width of a ResNet and of the decoder, unless the file of weights says which"""
    out_channels: int | None = None
    """of a unet's decoder, unless the weights say which; none = as geoset pretrain's"""
    encoder: str = "imagenet"
    """what the encoder starts from: scratch, imagenet, or a run or file of weights"""
    epochs: float | None = 80
    """passes over the images; or give steps"""
    steps: int | None = None
    """batches; takes precedence over epochs"""
    batch: int = 8
    """images a step, over all devices"""
    size: tuple[int, int] = (240, 320)
    """height and width that images and labels are scaled to cover, the middle kept, throughout"""
    augmentation: Literal["none", "flip_blur"] = "none"
    """none, or flip_blur: mirror half of the images, blur half of them"""
    optimizer: OptimizerSettings = _UNET_SGD
    """update rule and schedule"""
    encoder_lr_factor: float = 1.0
    """factor on the learning rate of the encoder"""
    auxiliary_weight: float = 0.4
    """for pspnet: weight of the loss of its auxiliary head"""
    snapshots: int = 10
    """for the protocol pri3d: how many weights along the way are tried on the validation data"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the forward pass in training; 16 bits need less memory"""

    def __post_init__(self) -> None:
        require(
            self.protocol in PROTOCOLS,
            f"protocol is '{self.protocol}'",
            f"one of {', '.join(PROTOCOLS)}",
        )
        require_length(self)
        for name in ("batch", "snapshots"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        for name in ("encoder_lr_factor", "auxiliary_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "0 or more")


# Encoder 0.001; head 0.01, ten times that.
_DEEPLAB = SegmentationSettings(
    "deeplabv3",
    epochs=None,
    steps=50_000,
    batch=16,
    augmentation="flip_blur",
    optimizer=OptimizerSettings(lr=0.01, dampening=0.0, weight_decay=1e-4),
    encoder_lr_factor=0.1,
)

SEGMENTATION_RECIPES: dict[str, SegmentationSettings] = {
    # The released script's learning rate; the paper's text implies 0.1 for ScanNet.
    "unet": SegmentationSettings(),
    "deeplabv3": _DEEPLAB,
    "deeplabv3plus": replace(_DEEPLAB, architecture="deeplabv3plus"),
    # Encoder 0.01; heads 0.1.
    "pspnet": replace(
        _DEEPLAB,
        architecture="pspnet",
        epochs=50,
        steps=None,
        optimizer=replace(_DEEPLAB.optimizer, lr=0.1),
    ),
}
"""By architecture, as Pri3D and the paper fine-tuned it on ScanNet and NYUv2."""


def segmentation_at_small_scale(
    settings: SegmentationSettings, steps: int = 300, encoder: str = "scratch"
) -> SegmentationSettings:
    """Return `settings` cut down to minutes on two cores.

    The network of the recipe `demo`, images of 96x128, and `steps` steps of AdamW that the encoder
    takes like all else. Its rates, for random weights and others, are the best from scratch and
    after more View on the benchmark's rooms for tuning (benchmarks/finetune_rates.py).
    """
    lr = 2e-3 if encoder == "scratch" else 4e-3
    return replace(
        settings,
        backbone="resnet18",
        width=0.25,
        out_channels=64,
        encoder=encoder,
        epochs=None,
        steps=steps,
        batch=8,
        size=(96, 128),
        optimizer=OptimizerSettings(kind="adamw", lr=lr, weight_decay=1e-4, warmup=20),
        encoder_lr_factor=1.0,
        snapshots=3,
    )
