"""What a network says of each set: its mean feature over all frames."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import nn

from geoset.prepare.groups import set_count
from geoset.prepare.scene import PreparedScene


@torch.no_grad()
def set_features(model: nn.Module, scene: PreparedScene, layer: str) -> np.ndarray:
    """Return (S,C) float64 unit features of the sets of a layer; NaN for sets never seen.

    A pixel (y, x) takes the unit feature of cell (y*h//H, x*w//W); a set has the mean of its
    pixels, over all frames, brought to unit length.
    """
    device = next(model.parameters()).device
    count, total = set_count(scene.sets(layer)), 0.0
    for i in range(len(scene)):
        image = torch.from_numpy(scene.image(i)).permute(2, 0, 1)[None].to(device)
        features = F.normalize(model(image.float() / 255)[0].float(), dim=0)
        total = total + sum_by_set(features.cpu().numpy(), scene.set_map(i, layer), count)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(length > 0, length, np.nan)


def sum_by_set(features: np.ndarray, set_map: np.ndarray, count: int) -> np.ndarray:
    """Add the features (C,h,w) of the pixels of each set up: (count,C), for set_map (H,W)."""
    (channels, h, w), (H, W) = features.shape, set_map.shape
    cell = (np.arange(H) * h // H)[:, None] * w + np.arange(W) * w // W
    seen = set_map >= 0
    pixels = csr_matrix((np.ones(seen.sum()), (set_map[seen], cell[seen])), shape=(count, h * w))
    return pixels @ features.reshape(channels, h * w).T.astype(np.float64)
