"""Recipes: named, typed settings. Every option of training has its one home and its help here."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from geoset.errors import GeosetError


def _require(condition: bool, found: str, expected: str) -> None:
    if not condition:
        raise GeosetError(f"{found}, expected {expected}")


@dataclass(frozen=True)
class FusionSettings:
    """How depth becomes a surface."""

    voxel_size: float = 0.03
    """edge of a voxel in metres; about the spacing of the surface's vertices"""
    max_depth: float = 5.0
    """metres beyond which depth is not trusted"""
    truncation: float = 4.0
    """band around the surface, in voxels, inside which distances are kept"""
    smoothing_steps: int = 5
    """rounds of normal-preserving smoothing; 0 leaves the sensor's noise in the surface"""
    min_component: int = 100
    """connected pieces with fewer vertices are specks and left out"""
    max_megabytes: int = 600
    """memory for the field; a place too large for it is fused with larger voxels"""

    def __post_init__(self) -> None:
        for name in ("voxel_size", "max_depth", "truncation", "max_megabytes"):
            _require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "above 0")
        for name in ("smoothing_steps", "min_component"):
            _require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "0 or more")


@dataclass(frozen=True)
class PrepareSettings:
    """How scans become prepared scenes."""

    image_size: tuple[int, int] = (240, 320)
    """height and width of stored images; others are scaled to cover it and centre-cropped"""
    frame_step: int | None = None
    """take every N-th usable frame; none = 25 for a recording at full rate, 1 for others"""
    threshold: float = 0.01
    """k of the over-segmentation: larger gives larger sets"""
    min_vertices: int = 20
    """sets with fewer vertices are merged into a neighbour"""
    min_overlap: float = 0.30
    """share of common surface from which two frames are a pair"""
    max_pairs_per_scene: int | None = None
    """at most this many pairs a scene, drawn evenly; none = all"""
    fill_holes: bool = False
    """where the sensor has no depth, believe the surface (black and glass things)"""
    max_fusion_frames: int = 400
    """frames that the surface is fused from, spread evenly over the scan"""
    fusion: FusionSettings = field(default_factory=FusionSettings)
    """how depth becomes a surface, for scans without a mesh"""

    def __post_init__(self) -> None:
        for name in ("frame_step", "min_vertices", "max_fusion_frames"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} is {value}", "1 or more")
        _require(
            self.max_pairs_per_scene is None or self.max_pairs_per_scene >= 1,
            f"max_pairs_per_scene is {self.max_pairs_per_scene}",
            "1 or more, or none for all",
        )
        _require(self.threshold > 0, f"threshold is {self.threshold}", "a number above 0")
        _require(0 <= self.min_overlap <= 1, f"min_overlap is {self.min_overlap}", "0 to 1")
        _require(min(self.image_size) >= 32, f"image_size is {self.image_size}", "32 or more")


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of a stage and its schedule; the defaults are those of Pri3D."""

    kind: Literal["sgd", "adamw"] = "sgd"
    """Update rule. AdamW takes its betas from torch, and neither momentum nor dampening."""
    lr: float = 0.1
    """Learning rate at factor 1."""
    momentum: float = 0.9
    """Momentum of SGD."""
    dampening: float = 0.1
    """Dampening of SGD's momentum."""
    weight_decay: float = 0.0
    """Weight decay, on all parameters."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """How the learning rate falls until the stage ends."""
    power: float = 0.9
    """Power of the polynomial schedule."""
    warmup: int = 0
    """Steps over which the learning rate also rises linearly from near 0."""
    batchnorm_decay: bool = False
    """Let the momentum of BatchNorm fall as in Pri3D; see `batchnorm_momentum`."""

    def __post_init__(self) -> None:
        for name in ("kind", "schedule"):
            choices = get_args(self.__annotations__[name])
            if getattr(self, name) not in choices:
                raise GeosetError(
                    f"{name} is '{getattr(self, name)}'; choose from {', '.join(choices)}"
                )
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise GeosetError(f"lr is {self.lr}; expected a number above 0, such as 0.1")
        for name in ("momentum", "dampening"):
            if not 0 <= getattr(self, name) < 1:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 <= {name} < 1")
        for name in ("weight_decay", "power", "warmup"):
            if getattr(self, name) < 0:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 or more")


@dataclass(frozen=True)
class Photometric:
    """How strongly images are changed; the defaults are those of Pri3D and of the paper."""

    jitter_probability: float = 0.8
    """Share of the images whose brightness, contrast, saturation and hue change."""
    brightness: float = 0.4
    """Brightness factor, drawn from [1 - this, 1 + this]."""
    contrast: float = 0.4
    """Contrast factor, drawn from [1 - this, 1 + this]."""
    saturation: float = 0.4
    """Saturation factor, drawn from [1 - this, 1 + this]."""
    hue: float = 0.1
    """Hue shift in turns, drawn from [-this, this]."""
    grayscale_probability: float = 0.2
    """Share of the images that lose their colour."""
    blur_probability: float = 0.5
    """Share of the images that are blurred."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Range of the Gaussian's sigma, in pixels."""

    def __post_init__(self) -> None:
        for name in ("jitter", "grayscale", "blur"):
            value = getattr(self, f"{name}_probability")
            if not 0 <= value <= 1:
                raise GeosetError(f"{name}_probability is {value}; expected a number in 0..1")
        for name, limit in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise GeosetError(f"{name} is {value}; expected a number in 0..{limit}")
        low, high = self.blur_sigma
        if not 0 < low <= high:
            raise GeosetError(f"blur_sigma is {low}, {high}; expected 0 < lowest <= highest")


@dataclass(frozen=True)
class ModelSettings:
    """The network to pre-train."""

    encoder: Literal["resnet18", "resnet50"] = "resnet50"
    """backbone of the UNet"""
    out_channels: int | None = None
    """channels of the features; none = 128 for resnet50, 32 for resnet18, times width"""
    width: float = 1.0
    """factor on the encoder's width; below 1 for training on a CPU"""


@dataclass(frozen=True)
class StageSettings:
    """One stage: how long, which losses, which optimizer."""

    name: str
    """what the stage is called in logs and file names"""
    epochs: float | None = None
    """passes over all pairs; or give steps"""
    steps: int | None = None
    """batches; takes precedence over epochs"""
    view: float = 0.0
    """weight of the pixel loss between the views of a pair (Pri3D View)"""
    sets: float = 0.0
    """weight of the set loss (Eq. 3)"""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """update rule and schedule"""

    def __post_init__(self) -> None:
        length = self.epochs if self.steps is None else self.steps
        found = f"stage {self.name}: steps is {self.steps}, epochs is {self.epochs}"
        _require(length is not None and length > 0, found, "one of them, above 0")
        found = f"stage {self.name}: the weights are view {self.view}, sets {self.sets}"
        _require(self.view >= 0 and self.sets >= 0, found, "0 or more")
        _require(self.view + self.sets > 0, found, "one of them above 0")


@dataclass(frozen=True)
class PretrainRecipe:
    """A whole pre-training."""

    stages: tuple[StageSettings, ...]
    """what follows on what"""
    model: ModelSettings = field(default_factory=ModelSettings)
    """the network"""
    batch_pairs: int = 64
    """pairs of views a batch, over all devices"""
    temperature: float = 0.4
    """of both InfoNCE losses"""
    pixel_samples: int = 1024
    """matched pixels drawn a pair for the view loss"""
    min_pixels: int = 1
    """pixels a set must have in both views to count"""
    aggregation: Literal["mean", "random_pixel"] = "mean"
    """how the pixels of a set become one feature (random_pixel: Sec. 5.2)"""
    keys: Literal["other_view", "both_views"] = "other_view"
    """which projections a set is compared with"""
    layer: str = "geometric"
    """which labelling of the surface is the sets"""
    augmentation: Photometric = field(default_factory=Photometric)
    """colour changes, drawn for each view on its own"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the forward pass"""

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        _require(
            0 < len(names) == len(set(names)),
            f"the stages are called {names}",
            "one or more, each by a name of its own: their weights are files of that name",
        )
        for name in ("batch_pairs", "pixel_samples", "min_pixels"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        _require(self.temperature > 0, f"temperature is {self.temperature}", "a number above 0")


@dataclass(frozen=True)
class Hardware:
    """What a run trains on; it does not change what is trained."""

    accelerator: str = "auto"
    """cpu, gpu or auto"""
    devices: int = 1
    """how many of them"""
    workers: int = 1
    """processes that load data, for each device"""
    checkpoint_seconds: float = 60.0
    """time between checkpoints, what a kill can cost at most"""

    def __post_init__(self) -> None:
        _require(self.devices >= 1, f"devices is {self.devices}", "1 or more")
        for name in ("workers", "checkpoint_seconds"):
            _require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "0 or more")


_SGD = OptimizerSettings(batchnorm_decay=True)
_ADAMW = OptimizerSettings(kind="adamw", lr=2e-3, weight_decay=1e-4, warmup=20)

RECIPES: dict[str, PretrainRecipe] = {
    # ResNet-50, 5 epochs of stage 1 and 2 of stage 2, SGD 0.1, 64 pairs (Sec. 4.1; Pri3D).
    "paper": PretrainRecipe(
        stages=(
            StageSettings("view", epochs=5, view=1.0, optimizer=_SGD),
            StageSettings("sets", epochs=2, sets=1.0, optimizer=_SGD),
        ),
    ),
    # Minutes on two cores: a narrow ResNet-18 and a few hundred steps.
    "small": PretrainRecipe(
        stages=(
            StageSettings("view", steps=200, view=1.0, optimizer=_ADAMW),
            StageSettings("sets", steps=200, sets=1.0, optimizer=_ADAMW),
        ),
        model=ModelSettings("resnet18", out_channels=32, width=0.25),
        batch_pairs=4,
        pixel_samples=512,
        min_pixels=8,
    ),
    # What `geoset demo` runs: images of 96x128, made-up rooms.
    "demo": PretrainRecipe(
        stages=(
            StageSettings("view", steps=400, view=1.0, optimizer=_ADAMW),
            StageSettings("sets", steps=800, sets=1.0, optimizer=_ADAMW),
        ),
        model=ModelSettings("resnet18", out_channels=64, width=0.25),
        batch_pairs=6,
        pixel_samples=512,
        min_pixels=8,
        # So short a training on so few rooms does better with its colours left: a probe on rooms
        # used for nothing else gained 3 points of mIoU.
        augmentation=Photometric(saturation=0.2, hue=0.03, grayscale_probability=0.0),
    ),
}


@dataclass(frozen=True)
class DemoSettings:
    """How large the demonstration is; the defaults take minutes on two cores."""

    rooms: int = 36
    """rooms to pre-train on, without labels"""
    frames: int = 14
    """images of each of them"""
    labelled_rooms: int = 32
    """other rooms, whose labels the probe learns from"""
    heldout_rooms: int = 16
    """other rooms, that the probe is scored on"""
    labelled_frames: int = 4
    """images of each labelled and held-out room"""
    workers: int = 2
    """processes that make and prepare rooms"""
    recipe: PretrainRecipe = RECIPES["demo"]
    """the pre-training"""
