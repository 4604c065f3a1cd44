"""A whole pre-training: networks, stages, losses."""

from dataclasses import dataclass, field
from typing import Literal

from geoset.recipes.checks import require
from geoset.recipes.length import require_length
from geoset.recipes.optimizer import OptimizerSettings, Photometric

TERMS = ("view", "geo", "depth", "sets")
"""The losses a stage can have, each with a weight of that name."""


@dataclass(frozen=True)
class ModelSettings:
    """The network to pre-train."""

    encoder: str = "resnet50"
    """backbone: resnet18, resnet50, or any other of timm, such as convnext_tiny"""
    out_channels: int | None = None
    """channels of the features; none = 128 for resnet50, 32 for resnet18, times width"""
    width: float = 1.0
    """factor on the width of a ResNet; below 1 for training on a CPU"""
    weights: str = "scratch"
    """what the network starts from: scratch, imagenet, a run, or a file of weights"""


@dataclass(frozen=True)
class GeoSettings:
    """The Geo loss: pixels against points of the surface (Pri3D)."""

    matches: Literal["visible", "projection"] = "visible"
    """which voxel a pixel sees: by the vertex map, or by Pri3D's projection within 0.2 m"""
    samples: int = 1024
    """distinct voxels drawn a view for the Geo loss"""
    voxel_size: float = 0.02
    """edge of the cells that the 3D network sees the surface in, in metres"""
    channels: int = 64
    """channels of the features by which pixels and points are compared"""
    width: float = 1.0
    """factor on the width of the 3D network; below 1 for training on a CPU"""

    def __post_init__(self) -> None:
        for name in ("samples", "channels"):
            require(getattr(self, name) >= 1, f"geo.{name} is {getattr(self, name)}", "1 or more")
        for name in ("voxel_size", "width"):
            require(getattr(self, name) > 0, f"geo.{name} is {getattr(self, name)}", "above 0")


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
    geo: float = 0.0
    """weight of the loss between pixels and points of the surface (Pri3D Geo)"""
    depth: float = 0.0
    """weight of the depth prediction that Pri3D trains beside its losses"""
    sets: float = 0.0
    """weight of the set loss (Eq. 3)"""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """update rule and schedule"""

    def __post_init__(self) -> None:
        require_length(self, f"stage {self.name}: ")
        found = ", ".join(f"{name} {weight}" for name, weight in self.weights.items())
        found = f"stage {self.name}: the weights are {found}"
        require(min(self.weights.values()) >= 0, found, "0 or more")
        require(max(self.weights.values()) > 0, found, "one of them above 0")

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each of the TERMS."""
        return {name: getattr(self, name) for name in TERMS}


@dataclass(frozen=True)
class PretrainRecipe:
    """A whole pre-training."""

    stages: tuple[StageSettings, ...]
    """what follows on what"""
    model: ModelSettings = field(default_factory=ModelSettings)
    """the network"""
    batch_pairs: int = 64
    """pairs of views a step, over all devices"""
    accumulate: int = 1
    """parts that each device takes its share of a step in; sets are compared within a part"""
    temperature: float = 0.4
    """temperature of the InfoNCE losses"""
    pixel_samples: int = 1024
    """matched pixels drawn a pair for the View loss"""
    geo: GeoSettings = field(default_factory=GeoSettings)
    """the loss between pixels and points"""
    min_pixels: int = 1
    """pixels that a set must have in both views to count"""
    aggregation: Literal["mean", "random_pixel"] = "mean"
    """how the pixels of a set become one feature: their mean, or one of them (Sec. 5.2)"""
    keys: Literal["other_view", "both_views"] = "other_view"
    """a set of a view is compared with those of the other view alone, or of both"""
    negatives: Literal["batch", "pair"] = "batch"
    """compare with the sets of the whole step, on all devices, or of the same pair alone"""
    layers: tuple[str, ...] = ("geometric",)
    """which labellings of the surface are the sets: one loss each"""
    layer_weights: tuple[float, ...] = ()
    """weights of the layers' losses in their mean; none = all alike"""
    groups: str | None = None
    """name of a grouping made by geoset group: sets of one group attract each other"""
    heldout_every: int | None = None
    """keep every N-th frame of a scene (0, N, 2N, ...) out of all pairs, to evaluate on"""
    augmentation: Photometric = field(default_factory=Photometric)
    """colour changes, drawn for each view on its own"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the forward pass; 16 bits need less memory"""

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        require(
            0 < len(names) == len(set(names)),
            f"the stages are called {names}",
            "one or more, each by a name of its own: their weights are files of that name",
        )
        for name in ("batch_pairs", "accumulate", "pixel_samples", "min_pixels"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        every = self.heldout_every
        require(every is None or every >= 2, f"heldout_every is {every}", "2 or more, or none")
        require(self.temperature > 0, f"temperature is {self.temperature}", "a number above 0")
        require(
            0 < len(self.layers) == len(set(self.layers)),
            f"layers are {list(self.layers)}",
            "one or more, each once",
        )
        weights = self.layer_weights
        require(
            not weights or (len(weights) == len(self.layers) and min(weights) > 0),
            f"layer_weights are {list(weights)}",
            f"none, or one above 0 for each of the {len(self.layers)} layers",
        )

    def uses(self, term: str) -> bool:
        """Return whether a stage has the loss `term`, one of TERMS."""
        return any(getattr(stage, term) > 0 for stage in self.stages)


@dataclass(frozen=True)
class Hardware:
    """What a run trains on; of it, only the number of devices in all changes the result."""

    accelerator: str = "auto"
    """cpu, gpu or auto, which is a GPU if there is one (CUDA; not Apple's)"""
    devices: int = 1
    """how many of them on a machine"""
    nodes: int = 1
    """how many machines; each starts the same command, as torchrun and SLURM do"""
    workers: int = 1
    """processes that load data, for each device; for Geo each keeps all voxels (ScanNet: 4 GB)"""
    checkpoint_seconds: float = 60.0
    """seconds from one checkpoint to the next: what a kill can cost at most"""
    compile: bool = False
    """translate the network by torch.compile: minutes at first, then faster steps on a GPU"""

    def __post_init__(self) -> None:
        for name in ("devices", "nodes"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        for name in ("workers", "checkpoint_seconds"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "0 or more")
