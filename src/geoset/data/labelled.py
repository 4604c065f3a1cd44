"""Images with semantic labels, from scans that hold label images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geoset.scans.detect import open_scan


@dataclass(frozen=True)
class LabelledImages:
    """N images in memory.

    images: (N,3,H,W) uint8
    labels: (N,H,W) int64 class ids from 0, -1 = not labelled
    """

    images: Tensor
    labels: Tensor


def read_labelled(scans: Sequence[Path], frames_per_scan: int) -> LabelledImages:
    """Read frames, spread evenly over each scan, with their label images (0 = not labelled).

    Raises:
        GeosetError: a scan has no label images, or a file cannot be read.
    """
    images, labels = [], []
    for path in scans:
        frames = open_scan(path).frames
        count = min(frames_per_scan, len(frames))
        for i in np.linspace(0, len(frames) - 1, count).round().astype(int):
            images.append(frames[i].image())
            labels.append(frames[i].label("semantic").astype(np.int64) - 1)
    return LabelledImages(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(labels))
    )
