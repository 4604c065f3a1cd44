"""The loss of MoCo: a query, its key, and a queue of keys that are not its own."""

import torch
from torch import Tensor

from geoset.losses.info_nce import InfoNCE, check_temperature, info_nce


def queue_info_nce(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    temperature: float = 0.2,
    *,
    across_ranks: bool = False,
) -> InfoNCE:
    """Return -log softmax of each query's own key among it and the queue (He et al. 2020, Eq. 1).

    queries, keys: (B,D) unit vectors, row by row of one frame
    queue: (K,D) unit vectors; chance is log(1 + K)
    across_ranks: the mean is over the queries of all processes

    Raises:
        GeosetError: the temperature is not positive.
    """
    check_temperature(temperature)
    own = (queries * keys).sum(dim=1, keepdim=True)
    similarity = torch.cat([own, queries @ queue.T], dim=1)
    used = torch.ones_like(similarity, dtype=torch.bool)
    positive = torch.zeros_like(used)
    positive[:, 0] = True
    return info_nce(similarity[None], positive, used, temperature, across_ranks)
