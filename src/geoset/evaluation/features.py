"""What can be said of features without labels."""

import torch
from torch import Tensor


def sample_cells(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` of the feature vectors of (V,C,h,w), with replacement: (count, C)."""
    flat = features.detach().movedim(1, -1).flatten(0, -2)
    chosen = torch.randint(len(flat), (count,), generator=generator)
    return flat[chosen.to(flat.device)].float()


def effective_rank(features: Tensor) -> Tensor:
    """Return how many directions unit features (N,C) spread over, a scalar from 1 to C.

    The exponential of the entropy of the normalised eigenvalues of their covariance
    (Roy and Vetterli, 2007). Near 1: they have collapsed.
    """
    unit = torch.nn.functional.normalize(features, dim=1)
    centred = unit - unit.mean(dim=0)
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    share = values / values.sum().clamp(min=1e-12)
    return torch.exp(-torch.special.xlogy(share, share).sum())
