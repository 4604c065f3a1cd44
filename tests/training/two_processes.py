"""Pairs of processes that find the environment that torchrun, or SLURM, would give them."""

import os
import socket


def start_pair(context, function, *arguments, launcher="torchrun", **options):
    """Call a function in two processes of a multiprocessing context, and return them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environments = [ENVIRONMENT[launcher](rank, port) for rank in range(2)]
    started = [
        context.Process(target=_call, args=(environment, function, *arguments), kwargs=options)
        for environment in environments
    ]
    for process in started:
        process.start()
    return started


def _torchrun(rank, port):
    return _address(port) | {
        "TORCHELASTIC_RUN_ID": "toy",
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }


def _slurm(rank, port):
    """Two tasks on one machine."""
    return _address(port) | {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "toy",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
    }


def _slurm_machines(rank, port):
    """One task on each of two machines."""
    return _slurm(rank, port) | {
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank),
    }


def _address(port):
    # The number of threads decides in which order sums are formed.
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}


ENVIRONMENT = {"torchrun": _torchrun, "slurm": _slurm, "slurm machines": _slurm_machines}


def _call(environment, function, *arguments, **options):
    os.environ.update(environment)
    function(*arguments, **options)


def exit_codes(started):
    """Wait for processes to end."""
    for process in started:
        process.join()
    return [process.exitcode for process in started]
