"""The training loop: stages one after the other, each with its own optimizer and schedule.

A run folder gets `run.json` (settings, versions, hardware), `log.jsonl`, `tensorboard/`,
`checkpoints/`, the weights after each stage and wherever it asks for them, and `model.safetensors`.
A run that was killed is taken up again with `resume`, and on a CPU ends with bitwise the same
weights. SIGTERM, SIGUSR1 and Ctrl-C let the steps in progress end, save a checkpoint, and exit with
128 + the signal's number.

Steps do not wait for the device: it is asked for its results every few steps, and only then are
they logged, checked and saved.
"""

import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from geoset.errors import GeosetError
from geoset.training.checkpoint import checkpoint_path, load_checkpoint
from geoset.training.fetch import Taken, describe_bad_batches, fetch, steps_together
from geoset.training.log import RunLog, Step
from geoset.training.processes import end_processes, on_first, start_processes
from geoset.training.run_folder import open_run, plan_run
from geoset.training.saver import Saver, all_finite, not_finite
from geoset.training.schedule import (
    batchnorm_momentum,
    build_optimizer,
    learning_rate,
    parameter_groups,
    set_batchnorm_momentum,
    set_learning_rate,
)
from geoset.training.stage import Stage
from geoset.training.stop import StopSignal, stop_signals
from geoset.training.timing import moment, seconds_between

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
    draw: Callable[[Path], None] | None = None,
    resume: bool = False,
    begin_with: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    precision: str = "32-true",
    accumulate: int = 1,
    compile: bool = False,
    all_used: bool = False,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = True,
) -> Path:
    """Train `model` through `stages`, in place, and return the path of its final weights.

    Args:
        model: initialised by the caller, equally at every start and in every process.
        out: the run folder, one for all machines; see above for what it gets.
        settings: what the run depends on beside the other arguments; resumed with the same only.
        seed: 0 or more; of the step generators and of torch's global one, which dropout uses.
        save_weights, draw: see `Saver`.
        resume: go on with the run in `out`; where there is none, start it.
        begin_with: a finished run whose stages are the first of these, in place of taking them
            again; the result is the same, bitwise.
        accelerator, devices, num_nodes, precision: as Lightning Fabric names them.
        accumulate: batches of each process a step; the loss is their mean.
        compile: run the network through `torch.compile`.
        all_used: every stage uses all of the model, which saves several processes a search.

    Raises:
        GeosetError: `out` holds a run and `resume` is off, or a run of other settings; a loss or a
            weight is not finite; the batches of a stage run out; the disk is full; processes or
            devices are not as asked for.
        SystemExit: after a signal; on all but the first process also where that raises.
    """
    fabric = start_processes(accelerator, devices, num_nodes, precision, all_used)
    run = Path(out)
    plan = plan_run(stages, settings, seed, fabric.world_size, accumulate)
    done = on_first(fabric, lambda: open_run(run, plan, resume, fabric.device, begin_with))
    state = load_checkpoint(checkpoint_path(run, done), model) if done else {}
    network = fabric.setup_module(compiled(model, len(stages)) if compile else model)
    saver = Saver(run, checkpoint_seconds, save_weights, draw)
    _Loop(fabric, network, stages, saver, seed, accumulate, done).run(state, tensorboard)
    return run / FINAL_WEIGHTS


@dataclass
class _Loop:
    """A run in progress, of whose steps `done` are taken, fetched and logged."""

    fabric: "Fabric"
    network: nn.Module  # the model, as Fabric wraps it
    stages: Sequence[Stage]
    saver: Saver
    seed: int
    accumulate: int
    done: int
    stop: StopSignal = field(default_factory=StopSignal)
    log: RunLog | None = None  # of the first process
    unlogged: GeosetError | None = None  # why its last steps are not in the log
    stopping: bool = False  # as all processes agree

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def run(self, state: Mapping[str, Any], tensorboard: bool) -> None:
        """Take the steps that are left; `state` is that of the checkpoint, or empty."""
        first_process = self.fabric.is_global_zero
        if self.done < self.total:
            on_first(self.fabric, partial(self._open_log, tensorboard))
            with stop_signals() as self.stop, closing(self.log) if self.log else nullcontext():
                self._run_stages(state)
        end_processes(self.fabric)
        if self.done < self.total:
            if first_process:
                print(
                    f"Stopped after {self.done} of {self.total} steps; they are saved. "
                    "Run the same command with --resume to go on."
                )
            raise SystemExit(128 + (self.stop.received or signal.SIGTERM))

    def _open_log(self, tensorboard: bool) -> None:
        self.log = RunLog(self.saver.run, self.done, tensorboard)

    def _run_stages(self, state: Mapping[str, Any]) -> None:
        if state:
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        start = 0
        for index, stage in enumerate(self.stages):
            first = self.done - start
            start += stage.steps
            if self.stopping or first >= stage.steps:
                continue
            groups = parameter_groups(self.network.module, stage.lr_factors)
            optimizer = build_optimizer(groups, stage.optimizer, self.fabric.device.type == "cuda")
            if first > 0:
                optimizer.load_state_dict(state["optimizer"])
            files = [f"stage-{stage.name}.safetensors"] + [FINAL_WEIGHTS] * (start == self.total)
            self._run_stage(stage, index, first, self.fabric.setup_optimizers(optimizer), files)

    def _run_stage(
        self, stage: Stage, index: int, first: int, optimizer: Optimizer, files: Sequence[str]
    ) -> None:
        """Take the steps of `stage` from `first` on; at its end, save the weights as `files`."""
        fabric, taken = self.fabric, []
        self.network.train()
        batches = iter(stage.batches(first, fabric.global_rank, fabric.world_size))
        together = steps_together(fabric.device, self.accumulate)
        for step in range(first, stage.steps):
            taken.append(self._step(stage, index, step, batches, optimizer))
            now = [stage.snapshot(step + 1)] if step + 1 in stage.snapshots else []
            now += files if step + 1 == stage.steps else []
            if not now and (step + 1) % together:
                continue
            due = self._fetch(stage, taken)
            if due or now or self.stopping:
                on_first(fabric, partial(self._save, stage, taken[-1], optimizer, now))
            taken = []
            if self.stopping:
                return

    def _step(
        self, stage: Stage, index: int, step: int, batches: Iterator[Any], optimizer: Optimizer
    ) -> Taken:
        """Ask the device to take a step."""
        fabric, settings = self.fabric, stage.optimizer
        lr = learning_rate(settings, step, stage.steps)
        set_learning_rate(optimizer, lr)
        set_batchnorm_momentum(self.network, batchnorm_momentum(settings, step, stage.steps))
        terms, descriptions, waits = [], [], []
        for part in range(self.accumulate):
            asked = moment(fabric.device)
            batch = next(batches, None)
            waits.append((asked, moment(fabric.device)))
            if batch is None:
                raise GeosetError(
                    f"stage '{stage.name}': its batches ended after {step} of {stage.steps} steps; "
                    "give more data, or ask for fewer steps"
                )
            descriptions.append(batch.describe() if hasattr(batch, "describe") else "")
            generator = self._generator(index, step * self.accumulate + part)
            with fabric.no_backward_sync(self.network, enabled=part + 1 < self.accumulate):
                found = stage.compute(self.network, fabric.to_device(batch), generator)
                fabric.backward(found["loss"] / self.accumulate)
            terms.append({k: v.detach() if isinstance(v, Tensor) else v for k, v in found.items()})
        optimizer.step()
        optimizer.zero_grad()
        return Taken(step, lr, terms, descriptions, waits, moment(fabric.device))

    def _generator(self, index: int, batch: int) -> torch.Generator:
        """Return the generator of the stage's `batch`; seed torch's global ones equally."""
        device = self.fabric.device
        entropy = np.random.SeedSequence([self.seed, index, batch, self.fabric.global_rank])
        seed = int(entropy.generate_state(1, np.uint64)[0])
        # torch.manual_seed visits every kind of device there might be: half a millisecond.
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        return torch.Generator(device).manual_seed(seed)

    def _fetch(self, stage: Stage, taken: Sequence[Taken]) -> bool:
        """Wait for the steps `taken`, check and log them; return whether a checkpoint is due."""
        due = self.fabric.is_global_zero and (self.saver.due() or self.unlogged is not None)
        told = self.stop.received is not None
        means, (self.stopping, due) = fetch(self.fabric, taken, told, due)
        for step, terms in zip(taken, means, strict=True):
            if not math.isfinite(terms["loss"]):
                self._fail(stage, step, terms["loss"])
            self.done += 1
            if self.log and not self.unlogged:
                self._log_step(stage, step, terms)
        return due

    def _log_step(self, stage: Stage, taken: Taken, terms: Mapping[str, float]) -> None:
        step = Step(
            self.done,
            self.total,
            stage.name,
            taken.step + 1,
            stage.steps,
            terms,
            taken.lr,
            frames=stage.frames_per_batch * self.accumulate * self.fabric.world_size,
            wait_seconds=sum(seconds_between(*wait) for wait in taken.waits),
            seconds=seconds_between(taken.waits[0][0], taken.ended),
        )
        try:
            self.log.write(step)
        except GeosetError as error:
            self.unlogged = error  # raised by the next `_save`, which all processes come to

    def _fail(self, stage: Stage, taken: Taken, loss: float) -> None:
        """Raise what is to be said of a loss that is not finite."""
        batches = describe_bad_batches(self.fabric, taken)
        what = f"{_place(stage, taken)}: the loss is {loss}, with a learning rate of {taken.lr:.3g}"

        def fail() -> None:
            raise not_finite(self.saver.run, what, batches)

        on_first(self.fabric, fail)

    def _save(self, stage: Stage, taken: Taken, optimizer: Optimizer, files: Sequence[str]) -> None:
        model = self.network.module
        if not all_finite(model):
            # A step before this one would have shown in this one's loss.
            what = f"{_place(stage, taken)}: it made a weight infinite or NaN"
            raise not_finite(self.saver.run, what, "; ".join(filter(None, taken.batches)))
        if self.unlogged:
            raise self.unlogged
        self.log.sync()
        state = {
            "optimizer": optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        self.saver.save(self.done, model, state, files)


def _place(stage: Stage, taken: Taken) -> str:
    return f"stage '{stage.name}', step {taken.step + 1} of {stage.steps}"


def compiled(model: nn.Module, stages: int) -> nn.Module:
    """Return `model` behind torch.compile, which Fabric applies outside of its own wrapper.

    The momentum of BatchNorm is a constant of a compiled graph, and the schedule of Pri3D takes ten
    values in each stage: beyond torch's limit of 8 graphs, the network would silently run
    uncompiled.
    """
    limit = max(16 * stages, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.recompile_limit = limit
    return torch.compile(model)
