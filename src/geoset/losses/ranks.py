"""What a loss needs of the other processes of a run, so that any number of them acts as one."""

from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def global_mean(total: Tensor, count: Tensor, across_ranks: bool) -> Tensor:
    """Return total / count, or 0 if the count is; across ranks, of the sums over all processes.

    total: sum of this process's terms, connected to the graph; count: how many they are, a tensor
        on the same device, so that nothing waits for the device

    Across ranks the value is this process's part times the number of processes: its mean over the
    processes is the global mean, and gradients averaged over the processes (as DDP does) are those
    of one process with all terms.
    """
    if across_ranks:
        total = total * dist.get_world_size()
    return total / global_sum(count, across_ranks).clamp(min=1)


def global_sum(value: Tensor, across_ranks: bool) -> Tensor:
    """Return `value`, detached; across ranks, its sum over all processes."""
    value = value.detach()
    if across_ranks:
        value = value.clone()
        dist.all_reduce(value)
    return value


def row_counts(count: int) -> list[int]:
    """Return the `count` of every process, exchanged between hosts: no device is waited for."""
    mine = torch.tensor([count])
    counts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, mine, group=_host_group(dist.group.WORLD))
    return torch.cat(counts).tolist()


def rows_before(counts: list[int]) -> int:
    """Return how many of the gathered rows come before those of this process."""
    return sum(counts[: dist.get_rank()])


def gather_rows(rows: Tensor, counts: list[int]) -> Tensor:
    """Return the rows (...,N,C) of all processes, in order of rank, (...,sum(N),C).

    counts: the N of every process, from `row_counts`. Gradients of all processes' uses of a row
    are summed where it came from. Every process must call this, and backward through it, also one
    without rows.
    """
    return _GatherRows.apply(rows, counts)


class _GatherRows(Function):
    @staticmethod
    def forward(ctx, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # Processes exchange equal sizes only.
        padded = rows.new_zeros(*rows.shape[:-2], max(counts), rows.shape[-1])
        padded.narrow(-2, 0, rows.shape[-2]).copy_(rows)
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat(
            [part.narrow(-2, 0, count) for part, count in zip(parts, counts, strict=True)], dim=-2
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        own = ctx.counts[dist.get_rank()]
        return gradient.narrow(-2, rows_before(ctx.counts), own), None


@cache
def _host_group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """Return the processes of `world` as a group that exchanges CPU tensors."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")
