"""Which labelled images a run learns from and is scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geoset.recipes.checks import require


@dataclass(frozen=True)
class DataSettings:
    """Labelled images; the layout is detected."""

    data: Path
    """folder (scannet_frames_25k, images/ and labels/, COCO, made-up rooms) or NYUv2's .mat"""
    val_data: Path | None = None
    """what is scored on, if it lies elsewhere: all of it; none = the val split of DATA"""
    share: float = 1.0
    """share of the training images to learn from, 0.2 is 20 %: whole scenes, first come first"""
    train_list: Path | None = None
    """file that names scenes or images to learn from, one a line; none = the list beside DATA"""
    val_list: Path | None = None
    """file that names scenes or images to be scored on; none = the list beside DATA"""
    nyu_classes: Literal[13, 40] = 13
    """how many classes NYUv2's labels are mapped to"""

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, f"share is {self.share}", "above 0, and at most 1 for all")
