"""Moments of a run, in the time of the device that does the work.

The program runs ahead of a CUDA device: its own clock would tell when work was asked for, and call
the time in which the device is busy with former steps waiting for data.
"""

import time

import torch

Moment = float | torch.cuda.Event


def moment(device: torch.device) -> Moment:
    """Return the moment at which `device` has done all it was asked to do; does not wait for it."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(start: Moment, end: Moment) -> float:
    """Return the seconds from `start` to `end`, both of them past."""
    if isinstance(start, float):
        return end - start
    return start.elapsed_time(end) / 1000
