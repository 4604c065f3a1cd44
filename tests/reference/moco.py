"""MoCo as its paper writes it: one query at a time, and a queue that is a list."""

import torch


def queue_info_nce(queries, keys, queue, temperature):
    """Eq. 1 of He et al. 2020, the mean over the queries."""
    losses = []
    for query, key in zip(queries, keys, strict=True):
        own = torch.exp(query @ key / temperature)
        others = sum(torch.exp(query @ other / temperature) for other in queue)
        losses.append(-torch.log(own / (own + others)))
    return sum(losses) / len(losses)


def enqueue(queue, keys):
    """The queue, oldest first, after keys came in and as many of the oldest left."""
    return (queue + list(keys))[len(keys) :]


def follow(follower, leader, momentum):
    """Eq. 2 of He et al. 2020, of one number."""
    return momentum * follower + (1 - momentum) * leader
