"""The processes of a run: started by Lightning Fabric, torchrun or SLURM; acting and ending as one.

One process drives one device. Fabric starts the processes of a single machine itself; where
torchrun or SLURM has started them, it recognises that by their environment variables.
"""

import atexit
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from geoset.errors import GeosetError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


def start_processes(
    accelerator: str, devices: int, num_nodes: int, precision: str, all_used: bool = False
) -> "Fabric":
    """Start, or join, `devices` processes on each of `num_nodes` machines; wait for all of them.

    all_used: every step uses every parameter, and the processes need not look which it did

    Raises:
        GeosetError: torchrun or SLURM started another number of processes; the machine lacks what
            is asked for.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from geoset.training.precision import plugins_for

    _check_launcher(devices, num_nodes)
    accelerator = _with_float64(accelerator)
    several = "ddp" if all_used else "ddp_find_unused_parameters_true"
    atexit.unregister(_part)  # of a former run; while this one lasts, an error leaves at once
    try:
        fabric = Fabric(
            accelerator=accelerator,
            strategy="auto" if devices * num_nodes == 1 else several,
            devices=devices,
            num_nodes=num_nodes,
            **plugins_for(precision, accelerator),
        )
        fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise GeosetError(
            f"cannot start with accelerator {accelerator}, devices {devices}, nodes {num_nodes}, "
            f"precision {precision}: {error} Choose others with --accelerator, --devices, --nodes, "
            "--precision."
        ) from error
    return fabric


def on_first(fabric: "Fabric", work: Callable[[], T]) -> T:
    """Do `work` on the first process alone, and return its result on all.

    Raises:
        GeosetError, OSError: `work` raised it; the other processes end with exit code 1, without a
            word.
    """
    result, failure = None, None
    if fabric.is_global_zero:
        try:
            result = work()
        except (GeosetError, OSError) as error:
            failure = error
    result, failed = fabric.broadcast((result, failure is not None))
    if failed:
        end_processes(fabric)
        raise failure or SystemExit(1)
    return result


def end_processes(fabric: "Fabric") -> None:
    """Wait until all processes are here. They part at exit, for that each waits for the others too.

    A process that just leaves makes others abort now and then; and one that has left its group
    cannot form another under torchrun, for a next run.
    """
    if fabric.world_size > 1:
        fabric.barrier()
        atexit.unregister(_part)  # once, however many runs there were
        atexit.register(_part)


def _part() -> None:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _with_float64(accelerator: str) -> str:
    """Return what to train on where Fabric would take Apple's GPU, which has no float64."""
    if torch.cuda.is_available() or not torch.backends.mps.is_available():
        return accelerator
    if accelerator in ("gpu", "mps"):
        raise GeosetError(
            f"accelerator is {accelerator}: Apple's GPUs have no float64, which losses are summed "
            "in; use --accelerator cpu"
        )
    return "cpu"


def _check_launcher(devices: int, num_nodes: int) -> None:
    """Compare what is asked for with the processes that torchrun or SLURM started."""
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        launcher, variable = "torchrun", "WORLD_SIZE"
        cure = f"torchrun --nnodes {num_nodes} --nproc-per-node {devices}"
    elif SLURMEnvironment.detect():
        launcher, variable = "SLURM", "SLURM_NTASKS"
        cure = f"srun --nodes {num_nodes} --ntasks-per-node {devices}"
    else:
        return
    started = int(os.environ[variable])
    if started != devices * num_nodes:
        raise GeosetError(
            f"{launcher} started {started} processes ({variable}), but {devices} devices on each "
            f"of {num_nodes} machines take {devices * num_nodes}. Start with `{cure}`, or set "
            "--devices (a machine) and --nodes to what was started."
        )
