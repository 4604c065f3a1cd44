"""The training loop: stages one after the other, each with its own optimizer and schedule."""

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from geoset.errors import GeosetError
from geoset.files import atomic_path
from geoset.training.checkpoint import (
    load_checkpoint,
    newest_checkpoint,
    remove_checkpoints_after,
    save_checkpoint,
)
from geoset.training.log import RunLog, Step
from geoset.training.run_folder import check_run, describe_run, plan_run
from geoset.training.schedule import (
    batchnorm_momentum,
    build_optimizer,
    learning_rate,
    set_batchnorm_momentum,
    set_learning_rate,
)
from geoset.training.stage import Stage
from geoset.training.stop import StopSignal

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FINAL_WEIGHTS = "model.safetensors"


def train(
    model: nn.Module,
    stages: Sequence[Stage],
    out: str | Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    save_weights: Callable[[nn.Module, Path], None],
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    precision: str = "32-true",
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = True,
) -> Path:
    """Train `model` through `stages`, in place, and return the path of its final weights.

    The run folder gets `run.json` (settings, versions, hardware), `log.jsonl`, `tensorboard/`,
    `checkpoints/`, the weights after each stage, and `model.safetensors`. A run that was killed is
    taken up again with `resume`, and on a CPU ends with bitwise the same weights. SIGTERM and
    Ctrl-C let the step in progress end, save a checkpoint, and exit with 143 and 130.

    Args:
        model: initialised by the caller, equally at every start.
        stages: see `Stage`.
        out: the run folder.
        settings: all that the run depends on beside stages, seed and number of devices, as JSON
            can hold it; a run is only resumed with the same.
        seed: 0 or more; of the step generators and of torch's global one, which dropout uses.
        save_weights: writes the weights that users load, given the model and a path.
        resume: go on with the run in `out`; where there is none, start it.
        accelerator, devices, precision: as Lightning Fabric names them.
        checkpoint_seconds: time between checkpoints; each stage ends with one as well.
        tensorboard: write TensorBoard scalars.

    Raises:
        GeosetError: `out` holds a run and `resume` is off, or a run of other settings; a loss or a
            weight is not finite; the batches of a stage run out; the disk is full.
        SystemExit: after SIGTERM or Ctrl-C.
    """
    from lightning_fabric import Fabric

    # A stage need not use every head of the model.
    strategy = "auto" if devices == 1 else "ddp_find_unused_parameters_true"
    fabric = Fabric(
        accelerator=accelerator, strategy=strategy, devices=devices, precision=precision
    )
    run, total = Path(out), sum(stage.steps for stage in stages)
    plan = plan_run(stages, settings, seed, fabric.world_size)

    # Every process reads the folder before any of them writes to it.
    exists = check_run(run, plan, resume)
    checkpoint, done = (exists and newest_checkpoint(run)) or (None, 0)
    if done == total:
        print(f"{run} is finished: {total} of {total} steps. Nothing to resume.")
        return run / FINAL_WEIGHTS
    state = load_checkpoint(checkpoint, model) if checkpoint else {}
    fabric.launch()
    fabric.barrier()
    if fabric.is_global_zero:
        if exists:
            print(f"Resuming {run} after {done} of {total} steps.")
        else:
            describe_run(run, plan, fabric.device)
        remove_checkpoints_after(run, done)

    network = fabric.setup_module(model)
    log = RunLog(run, done, tensorboard) if fabric.is_global_zero else None
    with StopSignal() as stop, log or nullcontext():
        loop = _Loop(
            fabric, network, run, seed, total, done, log, stop, save_weights, checkpoint_seconds
        )
        loop.run_stages(stages, state)
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()
    if loop.done < total:
        if fabric.is_global_zero:
            print(
                f"Stopped after {loop.done} of {total} steps; they are saved. Run the same command "
                "with --resume to go on."
            )
        raise SystemExit(128 + (stop.received or signal.SIGTERM))
    return run / FINAL_WEIGHTS


@dataclass
class _Loop:
    """A run in progress, of whose `total` steps `done` are taken."""

    fabric: "Fabric"
    network: nn.Module  # the model, as Fabric wraps it
    run: Path
    seed: int
    total: int
    done: int
    log: RunLog | None  # of the first process
    stop: StopSignal
    save_weights: Callable[[nn.Module, Path], None]
    checkpoint_seconds: float
    stopping: bool = False  # as all processes agree
    saved_at: float = field(default_factory=time.monotonic)

    def run_stages(self, stages: Sequence[Stage], state: Mapping[str, Any]) -> None:
        """Take the steps that are left; `state` is that of the checkpoint, or empty."""
        self.fabric.strategy.precision.load_state_dict(state.get("precision", {}))
        start = 0
        for index, stage in enumerate(stages):
            first = self.done - start
            start += stage.steps
            if self.stopping or first >= stage.steps:
                continue
            optimizer = build_optimizer(self.network.module.parameters(), stage.optimizer)
            if first > 0:
                optimizer.load_state_dict(state["optimizer"])
            self._run_stage(stage, index, first, self.fabric.setup_optimizers(optimizer))

    def _run_stage(self, stage: Stage, index: int, first: int, optimizer: Optimizer) -> None:
        """Take the steps of `stage` from `first` on."""
        fabric, settings = self.fabric, stage.optimizer
        self.network.train()
        batches = iter(stage.batches(first, fabric.global_rank, fabric.world_size))
        for step in range(first, stage.steps):
            began = time.perf_counter()
            batch = next(batches, None)
            wait = time.perf_counter() - began
            if batch is None:
                raise GeosetError(
                    f"stage '{stage.name}': its batches ended after {step} of {stage.steps} steps; "
                    "give more data, or ask for fewer steps"
                )
            batch = fabric.to_device(batch)
            lr = learning_rate(settings, step, stage.steps)
            set_learning_rate(optimizer, lr)
            set_batchnorm_momentum(self.network, batchnorm_momentum(settings, step, stage.steps))
            terms = self._update(stage, index, step, batch, optimizer)
            self.done += 1
            if self.log:
                seconds = time.perf_counter() - began
                frames = stage.frames_per_batch * fabric.world_size
                place = (self.done, self.total, stage.name, step + 1, stage.steps)
                self.log.write(Step(*place, terms, lr, frames, wait, seconds))
                due = time.monotonic() - self.saved_at >= self.checkpoint_seconds
                if due or self.stopping or step + 1 == stage.steps:
                    self._save(stage, step, batch, optimizer)
            if self.stopping:
                return

    def _update(
        self, stage: Stage, index: int, step: int, batch: Any, optimizer: Optimizer
    ) -> dict[str, float]:
        """Take one step of the optimizer; return the terms, averaged over the processes."""
        fabric = self.fabric
        entropy = np.random.SeedSequence([self.seed, index, step, fabric.global_rank])
        seed = int(entropy.generate_state(1, np.uint64)[0])
        torch.manual_seed(seed)
        terms = stage.compute(self.network, batch, torch.Generator().manual_seed(seed))
        # One reduction carries the terms, and whether any process was told to stop.
        values = [*terms.values(), self.stop.received is not None]
        values = [torch.as_tensor(v, dtype=torch.float32, device=fabric.device) for v in values]
        *means, stopping = fabric.all_reduce(torch.stack(values).detach()).tolist()
        self.stopping = stopping > 0
        means = dict(zip(terms, means, strict=True))
        if not math.isfinite(means["loss"]):
            raise self._not_finite(f"the loss is {means['loss']}", stage, step, batch)
        fabric.backward(terms["loss"])
        optimizer.step()
        optimizer.zero_grad()
        return means

    def _save(self, stage: Stage, step: int, batch: Any, optimizer: Optimizer) -> None:
        """Save a checkpoint; before it, at the end of a stage, the weights that users load."""
        model = self.network.module
        if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
            raise self._not_finite("it made a weight infinite or NaN", stage, step, batch)
        names = [f"stage-{stage.name}.safetensors"] if step + 1 == stage.steps else []
        names += [FINAL_WEIGHTS] if self.done == self.total else []
        for name in names:
            with atomic_path(self.run / name) as path:
                self.save_weights(model, path)
        self.log.sync()
        state = {
            "optimizer": optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        save_checkpoint(self.run, self.done, model, state)
        self.saved_at = time.monotonic()

    def _not_finite(self, what: str, stage: Stage, step: int, batch: Any) -> GeosetError:
        describe = getattr(batch, "describe", None)
        of_batch = f" Its batch: {describe()}." if describe else ""
        newest = newest_checkpoint(self.run)
        kept = (
            f"The last good checkpoint is {newest[0]}." if newest else "No checkpoint exists yet."
        )
        return GeosetError(
            f"stage '{stage.name}', step {step + 1} of {stage.steps}: {what}.{of_batch} {kept} "
            f"Start again with a lower learning rate (lr is {stage.optimizer.lr:g}) in another "
            "folder (--out); or mend what is wrong with the data, and continue with --resume."
        )
