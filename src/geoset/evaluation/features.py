"""What can be said of features without labels."""

import torch
from torch import Tensor


def sample_cells(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` of the feature vectors of (V,C,h,w), with replacement: (count, C).

    generator: on the CPU, or on the device of the features
    """
    flat = features.detach().movedim(1, -1).flatten(0, -2)
    chosen = torch.randint(len(flat), (count,), generator=generator, device=generator.device)
    return flat[chosen.to(flat.device)].float()


def effective_rank(features: Tensor) -> Tensor:
    """Return how many directions unit features (N,C) spread over, a scalar from 1 to C.

    The participation ratio of the eigenvalues of their covariance, (sum)^2 / (sum of squares);
    it needs no eigenvalue. Near 1: they have collapsed.
    """
    unit = torch.nn.functional.normalize(features, dim=1)
    centred = unit - unit.mean(dim=0)
    covariance = centred.T @ centred
    # Equal features have no direction at all: rounding decides, and 1 is the least there is.
    ratio = covariance.trace() ** 2 / covariance.square().sum().clamp(min=1e-30)
    return ratio.clamp(min=1)
