"""Classes by vote of the most similar labelled features."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**24  # similarities held at a time


def neighbour_votes(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    classes: int,
    *,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Return the votes (N,classes) of the nearest of `bank` for each query; each row sums to 1.

    The weighting of the k-NN classifier of Wu et al. (CVPR 2018, Sec. 3.4): a neighbour of cosine
    similarity s votes for its class with exp(s / temperature).

    queries: (N,C); bank: (M,C) features, of which all are neighbours if there are fewer
    labels: (M,) int64 class of each of the bank
    """
    bank = F.normalize(bank.float(), dim=1)
    votes = []
    for part in queries.split(max(1, BLOCK // len(bank))):
        similarity = F.normalize(part.float(), dim=1) @ bank.T
        nearest = similarity.topk(min(neighbours, len(bank)), dim=1)
        weights = (nearest.values / temperature).softmax(dim=1)
        empty = weights.new_zeros(len(part), classes)
        votes.append(empty.scatter_add_(1, labels[nearest.indices], weights))
    return torch.cat(votes)
