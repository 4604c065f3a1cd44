"""How scans become prepared scenes."""

from dataclasses import dataclass, field

from geoset.recipes.checks import require


@dataclass(frozen=True)
class FusionSettings:
    """How depth becomes a surface."""

    voxel_size: float = 0.03
    """edge of a voxel in metres, about the spacing of the surface's vertices"""
    max_depth: float = 5.0
    """depth beyond this is not trusted, in metres"""
    truncation: float = 4.0
    """band around the surface, in voxels, inside which distances are kept"""
    smoothing_steps: int = 5
    """rounds of normal-preserving smoothing; 0 leaves the sensor's noise in the surface"""
    min_component: int = 100
    """connected pieces with fewer vertices than this are specks and left out"""
    max_megabytes: int = 600
    """memory for the field in MB; a place too large for it is fused with larger voxels"""

    def __post_init__(self) -> None:
        for name in ("voxel_size", "max_depth", "truncation", "max_megabytes"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "above 0")
        for name in ("smoothing_steps", "min_component"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "0 or more")


@dataclass(frozen=True)
class PrepareSettings:
    """How scans become prepared scenes."""

    image_size: tuple[int, int] = (240, 320)
    """height and width of stored images, in pixels; scans' are scaled to cover it and cropped"""
    frame_step: int | None = None
    """take every N-th usable frame; none = 25 for a recording at full rate, 1 for others"""
    threshold: float = 0.01
    """k of the over-segmentation: larger gives larger sets"""
    min_vertices: int = 20
    """sets with fewer vertices than this are merged into a neighbour"""
    min_overlap: float = 0.30
    """share of common surface, 0 to 1, from which two frames are a pair"""
    max_pairs_per_scene: int | None = None
    """at most this many pairs a scene, drawn evenly; none = all"""
    max_pair_residual: float | None = 0.05
    """a pair whose depths disagree by more, median in metres, is left out; none = keep all"""
    fill_holes: bool = False
    """where the sensor has no depth, believe the surface (black and glass things)"""
    depth_edges: bool = False
    """believe depth at the rims of things too, where the sensor mixes what is before and behind"""
    max_fusion_frames: int = 400
    """frames that the surface is fused from, spread evenly over the scan"""
    fusion: FusionSettings = field(default_factory=FusionSettings)
    """how depth becomes a surface, for scans without a mesh"""

    def __post_init__(self) -> None:
        for name in ("frame_step", "min_vertices", "max_fusion_frames"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} is {value}", "1 or more")
        require(
            self.max_pairs_per_scene is None or self.max_pairs_per_scene >= 1,
            f"max_pairs_per_scene is {self.max_pairs_per_scene}",
            "1 or more, or none for all",
        )
        require(self.threshold > 0, f"threshold is {self.threshold}", "a number above 0")
        require(
            self.max_pair_residual is None or self.max_pair_residual > 0,
            f"max_pair_residual is {self.max_pair_residual}",
            "metres above 0, or none to keep all pairs",
        )
        require(0 <= self.min_overlap <= 1, f"min_overlap is {self.min_overlap}", "0 to 1")
        require(min(self.image_size) >= 32, f"image_size is {self.image_size}", "32 or more")
