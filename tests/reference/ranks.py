"""Two processes of one run, one after the other in this one."""

from operator import add

import torch.distributed as dist


def run_as_two_processes(monkeypatch, first, second):
    """Return what two functions return whose k-th sums over processes belong together.

    They run twice: to see what each of them sends, and then with the sums.
    """
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    sent = [], []
    for process, tensors in zip((first, second), sent, strict=True):
        monkeypatch.setattr(dist, "all_reduce", lambda x, to=tensors: to.append(x.clone()))
        process()
    assert len(sent[0]) == len(sent[1]) > 0
    results = []
    for process in (first, second):
        sums = map(add, *sent)
        monkeypatch.setattr(dist, "all_reduce", lambda x, sums=sums: x.copy_(next(sums)))
        results.append(process())
    return results
