"""What a run saves from time to time: checkpoints, weights that users load, its curves."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geoset.errors import GeosetError
from geoset.files import atomic_path
from geoset.training.checkpoint import newest_checkpoint, save_checkpoint

SECONDS_BETWEEN_DRAWINGS = 600.0


@dataclass
class Saver:
    """Saves a run, on its first process.

    run: the run folder
    seconds: time between checkpoints
    save_weights: writes the weights that users load, given the model and a path
    draw: puts pictures of the run's course into the run folder; none = no pictures
    """

    run: Path
    seconds: float
    save_weights: Callable[[nn.Module, Path], None]
    draw: Callable[[Path], None] | None
    _saved_at: float = field(default_factory=time.monotonic)
    _drawn_at: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return time.monotonic() - self._saved_at >= self.seconds

    def save(
        self, step: int, model: nn.Module, state: dict[str, Any], files: Sequence[str]
    ) -> None:
        """Save a checkpoint after `step` steps; before it, the weights that users load, as `files`.

        Raises:
            GeosetError: the disk is full.
        """
        for name in files:
            with atomic_path(self.run / name) as path:
                self.save_weights(model, path)
        save_checkpoint(self.run, step, model, state)
        self._saved_at = time.monotonic()
        if files or time.monotonic() - self._drawn_at >= SECONDS_BETWEEN_DRAWINGS:
            self._draw()

    def _draw(self) -> None:
        try:
            if self.draw:
                self.draw(self.run)
        except Exception as error:  # pictures can be drawn again; steps are lost
            warnings.warn(f"{self.run}: no curves drawn ({error!r})", stacklevel=2)
        self._drawn_at = time.monotonic()


def all_finite(model: nn.Module) -> bool:
    """Return whether no parameter or buffer of `model` is infinite or NaN."""
    finite = [tensor.isfinite().all() for tensor in model.state_dict().values()]
    return bool(torch.stack(finite).all())


def not_finite(run: Path, what: str, batches: str) -> GeosetError:
    """Return the error that `what` is infinite or NaN, made by `batches`; with what can be done."""
    newest = newest_checkpoint(run)
    kept = f"The last good checkpoint is {newest[0]}." if newest else "No checkpoint exists yet."
    of_batch = f" Its batch: {batches}." if batches else ""
    return GeosetError(
        f"{what}.{of_batch} {kept} Start again with a lower learning rate in another folder "
        "(--out); or mend what is wrong with the data, and continue with --resume."
    )
