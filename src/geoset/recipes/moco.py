"""MoCo v2 on shuffled frames, the baseline that knows nothing of geometry."""

from dataclasses import dataclass, field
from typing import Literal

from geoset.recipes.checks import require
from geoset.recipes.length import require_length
from geoset.recipes.named import RECIPES
from geoset.recipes.optimizer import OptimizerSettings, Photometric
from geoset.recipes.pretrain import ModelSettings

SMALLEST_CROP = 64  # the coarsest map of a ResNet has 2x2 cells then: BatchNorm needs more than one

_RESNET50 = ModelSettings(weights="imagenet")
_SGD = OptimizerSettings(lr=0.03, dampening=0.0, weight_decay=1e-4, schedule="cosine")
_ADAMW = OptimizerSettings(kind="adamw", lr=2e-3, weight_decay=1e-4, schedule="cosine", warmup=20)


@dataclass(frozen=True)
class MocoSettings:
    """A pre-training by MoCo v2; the defaults are the paper's, and of MoCo v2 what it leaves open.

    Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020; He et al., Momentum
    Contrast for Unsupervised Visual Representation Learning, 2020.
    """

    model: ModelSettings = _RESNET50
    """the network; its encoder is trained"""
    epochs: float | None = 100
    """passes over all frames; or give steps"""
    steps: int | None = None
    """batches; takes precedence over epochs"""
    batch: int = 256
    """frames a step, over all devices; each is seen twice"""
    crop: tuple[int, int] = (224, 224)
    """height and width in pixels that crops of the prepared images are brought to"""
    crop_scale: tuple[float, float] = (0.2, 1.0)
    """smallest and largest share of an image that a crop holds"""
    augmentation: Photometric = field(default_factory=Photometric)
    """colour changes, drawn for each crop on its own"""
    feature_dim: int = 128
    """numbers in the feature by which a frame is compared"""
    queue: int = 65_536
    """how many keys of former steps are the negatives"""
    momentum: float = 0.999
    """how slowly the encoder of the keys follows: the share of itself that it keeps at a step"""
    temperature: float = 0.2
    """temperature of the InfoNCE loss"""
    batchnorm_images: int = 32
    """crops that BatchNorm takes its statistics over: those of one of MoCo's eight devices"""
    optimizer: OptimizerSettings = _SGD
    """update rule and schedule"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the forward pass; 16 bits need less memory"""

    def __post_init__(self) -> None:
        require_length(self)
        for name in ("batch", "feature_dim", "batchnorm_images"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        require(
            min(self.crop) >= SMALLEST_CROP,
            f"crop is {self.crop}",
            f"{SMALLEST_CROP} or more pixels a side",
        )
        low, high = self.crop_scale
        require(0 < low <= high <= 1, f"crop_scale is {low}, {high}", "0 < lowest <= highest <= 1")
        found = f"queue is {self.queue}, with a batch of {self.batch}"
        require(self.queue >= self.batch, found, "a queue that holds a batch or more")
        found = f"momentum is {self.momentum}"
        require(0 <= self.momentum < 1, found, "0 <= momentum < 1, such as 0.999")
        require(self.temperature > 0, f"temperature is {self.temperature}", "a number above 0")


def moco_at_small_scale(steps: int = 600) -> MocoSettings:
    """Return MoCo v2 for two cores and frames of 96x128: the network of recipe `demo`.

    600 steps take about as long as 800 of that recipe. What counts in steps is scaled to them:
    keys that follow at 0.999 would be those of the random start still. A queue shorter than the
    built-in benchmark's 1600 frames seldom holds the query's own frame as a negative.
    """
    return MocoSettings(
        model=RECIPES["demo"].model,
        epochs=None,
        steps=steps,
        batch=64,
        crop=(96, 96),
        queue=1024,
        momentum=0.99,
        batchnorm_images=16,
        optimizer=_ADAMW,
    )
