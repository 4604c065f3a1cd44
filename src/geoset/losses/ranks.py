"""What a loss needs of the other processes of a run, so that any number of them acts as one."""

import torch.distributed as dist
from torch import Tensor


def global_mean(total: Tensor, count: Tensor, across_ranks: bool) -> Tensor:
    """Return total / count, or 0 if the count is; across ranks, of the sums over all processes.

    total: sum of this process's terms, connected to the graph; count: how many they are, a tensor
        on the same device, so that nothing waits for the device

    Across ranks the value is this process's part times the number of processes: its mean over the
    processes is the global mean, and gradients averaged over the processes (as DDP does) are those
    of one process with all terms.
    """
    if across_ranks:
        count = count.detach().clone()
        dist.all_reduce(count)
        total = total * dist.get_world_size()
    return total / count.clamp(min=1)
