"""Fine-tuning Mask R-CNN: what the protocols fix, and the settings of a run."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from geoset.recipes.checks import require
from geoset.recipes.optimizer import OptimizerSettings


class InstanceProtocol(NamedTuple):
    """What counts.

    min_pixels: of an instance; smaller ones are neither learned nor looked for
    skip_empty: leave images out of the evaluation that have no such instance
    score_threshold: detections that are less certain do not count
    best: the weights are those of the snapshot that is best on the validation data, not the last
    """

    min_pixels: int
    skip_empty: bool
    score_threshold: float
    best: bool


PROTOCOLS: dict[str, InstanceProtocol] = {
    # Pri3D's and the paper's. The high threshold cuts the curve of precision short: AP is lower.
    "pri3d": InstanceProtocol(1000, skip_empty=True, score_threshold=0.5, best=True),
    "strict": InstanceProtocol(1, skip_empty=False, score_threshold=0.05, best=False),
}

# detectron2's, which Pri3D trained with; the learning rate is Pri3D's.
_SGD = OptimizerSettings(lr=0.0025, dampening=0.0, weight_decay=1e-4, schedule="steps", warmup=1000)


@dataclass(frozen=True)
class InstanceSettings:
    """Fine-tuning Mask R-CNN; the defaults are Pri3D's for ScanNet."""

    protocol: Literal["pri3d", "strict"] = "strict"
    """what counts: pri3d as published, or strict; results say which"""
    backbone: str = "resnet50"
    """encoder, unless the file of weights says which: resnet18, or another of growing strides"""
    width: float = 1.0
    """factor on the width of a ResNet and of the heads, unless the file of weights says which"""
    encoder: str = "imagenet"
    """what the encoder starts from: scratch, imagenet, or a run or file of weights"""
    freeze: bool = True
    """keep BatchNorm, stem and first stage of a ResNet that does not start from scratch"""
    steps: int = 90_000
    """batches to train for"""
    batch: int = 16
    """images a step, over all devices"""
    accumulate: int = 1
    """parts that each device takes its share of a step in"""
    optimizer: OptimizerSettings = _SGD
    """update rule and schedule"""
    sizes: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    """short sides in pixels that images are scaled to, one drawn for each; evaluated at the last"""
    max_size: int = 1333
    """longest that the long side may become, in pixels; takes precedence"""
    regions: int = 32
    """proposals of an image that the heads learn from"""
    flip: bool = True
    """mirror half of the images"""
    snapshots: int = 10
    """for the protocol pri3d: how many weights along the way are tried on the validation data"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the forward pass; 16 bits need less memory"""

    def __post_init__(self) -> None:
        require(
            self.protocol in PROTOCOLS,
            f"protocol is '{self.protocol}'",
            f"one of {', '.join(PROTOCOLS)}",
        )
        for name in ("steps", "batch", "accumulate", "regions", "snapshots"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")


INSTANCE_RECIPES: dict[str, InstanceSettings] = {
    "scannet": InstanceSettings(),
    "nyuv2": InstanceSettings(batch=2),
}
"""By data set, as Pri3D fine-tuned on it."""


def instances_at_small_scale(settings: InstanceSettings, steps: int = 300) -> InstanceSettings:
    """Return `settings` cut down to minutes on two cores, for images of about 96x128.

    A ResNet-18 at a quarter of its width from random weights, 4 images a step, and `steps` steps of
    AdamW.
    """
    return replace(
        settings,
        backbone="resnet18",
        width=0.25,
        encoder="scratch",
        steps=steps,
        batch=4,
        optimizer=OptimizerSettings(kind="adamw", lr=1e-3, weight_decay=1e-4, warmup=20),
        sizes=(96,),
        max_size=160,
        regions=64,
    )
