"""What every training task has in common: hardware for the engine, curves, lines said once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn
from torch.utils.data import Dataset

from geoset.data.pairs import batches_from
from geoset.recipes import Hardware
from geoset.reports.charts import draw_curves
from geoset.training.log import read_log
from geoset.training.loop import train
from geoset.training.processes import start_processes
from geoset.training.stage import Stage

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CURVES = "curves.png"


@rank_zero_only
def say(text: str) -> None:
    """Print a line, whatever the number of processes that get here."""
    print(text, flush=True)


def run_stages(
    network: nn.Module,
    stages: Sequence[Stage],
    out: Path,
    hardware: Hardware,
    *,
    settings: Mapping[str, Any],
    **options: Any,
) -> Path:
    """Train on `hardware`, with curves in the run folder; `options` are those of `train`."""
    return train(
        network,
        stages,
        out,
        settings=settings,
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        compile=hardware.compile,
        checkpoint_seconds=hardware.checkpoint_seconds,
        draw=lambda run: draw_curves(read_log(run), run / CURVES),
        **options,
    )


def load_stage(
    batches: Dataset, start: int, end: int, workers: int, first: int, rank: int, ranks: int
) -> Iterator[Any]:
    """Yield a rank's batches of the stage that takes steps `start` to `end` - 1, from `first` on.

    A stage goes on in the sequence of batches where the one before left it.
    """
    return batches_from(batches, start + first, end, rank, ranks, workers)


def start_evaluation(hardware: Hardware) -> "Fabric":
    """Start, or join, the processes that share an evaluation."""
    return start_processes(
        hardware.accelerator, hardware.devices, hardware.nodes, precision="32-true"
    )
