"""Which labelled images a run learns from and is scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geoset.recipes.checks import require


@dataclass(frozen=True)
class DataSettings:
    """Labelled images; the layout is detected."""

    data: Path
    """a folder (ScanNet's frames_25k, rooms, images/ and labels/, COCO) or NYUv2's .mat"""
    val_data: Path | None = None
    """what is scored on, if it lies elsewhere; none = the val split of DATA"""
    share: float = 1.0
    """first part of the training images, by whole scenes: 0.2 is 20 %"""
    train_list: Path | None = None
    """scenes or images to learn from, a name a line; none = the list beside the data"""
    val_list: Path | None = None
    """scenes or images to be scored on; none = the list beside the data"""
    nyu_classes: Literal[13, 40] = 13
    """how many classes NYUv2's labels are mapped to"""

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, f"share is {self.share}", "above 0, and at most 1 for all")
