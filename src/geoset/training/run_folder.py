"""`run.json`: what a run folder holds, and whether a run may go on in it."""

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from geoset import __version__
from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.training.checkpoint import newest_checkpoint, remove_checkpoints_after
from geoset.training.log import LOG
from geoset.training.stage import Stage


def plan_run(
    stages: Sequence[Stage],
    settings: Mapping[str, Any],
    seed: int,
    processes: int,
    accumulate: int,
) -> dict[str, Any]:
    """Return what a run is a function of, beside code and data, as JSON holds it."""
    plan = {
        "seed": seed,
        "processes": processes,
        "accumulate": accumulate,
        "stages": [
            {"name": stage.name, "steps": stage.steps, "optimizer": asdict(stage.optimizer)}
            for stage in stages
        ],
        "settings": dict(settings),
    }
    return json.loads(json.dumps(plan))


def open_run(
    run: Path,
    plan: dict[str, Any],
    resume: bool,
    device: torch.device,
    begin_with: Path | None = None,
) -> int:
    """Make `run` ready to be trained in; return how many of its steps are taken.

    run, plan, resume: as for `check_run`; device: what it trains on, for `run.json`
    begin_with: a finished run whose stages are the first of these; they are not taken again

    Raises:
        GeosetError: as `check_run`; `begin_with` is not finished, or begins otherwise; the seed is
            negative.
    """
    if plan["seed"] < 0:
        raise GeosetError(f"seed is {plan['seed']}, expected 0 or more")
    done, total = 0, sum(stage["steps"] for stage in plan["stages"])
    if check_run(run, plan, resume):
        _, done = newest_checkpoint(run) or (None, 0)
        print(
            f"{run} is finished: {total} of {total} steps. Nothing to resume."
            if done == total
            else f"Resuming {run} after {done} of {total} steps."
        )
    else:
        done = _copy_beginning(begin_with, run, plan) if begin_with else 0
        describe_run(run, plan, device)  # last: without it a killed copy is made again
    remove_checkpoints_after(run, done)
    return done


def planned_steps(run: Path) -> int:
    """Return how many steps the run in a folder takes."""
    plan = json.loads((run / "run.json").read_text())["plan"]
    return sum(stage["steps"] for stage in plan["stages"])


def _copy_beginning(source: Path, run: Path, plan: dict[str, Any]) -> int:
    """Copy the end of a run to where another goes on from it; return its steps."""
    path = source / "run.json"
    if not path.exists():
        raise GeosetError(f"{source}: is no run (no run.json); give the folder of a finished one")
    before = json.loads(path.read_text())["plan"]
    stages = plan["stages"][: len(before["stages"])]
    for name in ("seed", "processes", "accumulate"):
        if before[name] != plan[name]:
            raise GeosetError(
                f"{source}: was trained with {name} {before[name]}, expected {plan[name]}; a run "
                "goes on from one of its own kind only"
            )
    if before["stages"] != stages:
        raise GeosetError(
            f"{source}: has the stages {before['stages']}, expected {stages}, the first of the "
            "run that goes on from it"
        )
    steps = sum(stage["steps"] for stage in stages)
    newest = newest_checkpoint(source)
    if newest is None or newest[1] != steps:
        raise GeosetError(
            f"{source}: is not finished ({newest[1] if newest else 0} of {steps} steps); resume it "
            "first"
        )
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    shutil.copytree(newest[0], run / "checkpoints" / newest[0].name)
    for file in (source / LOG, *source.glob("stage-*.safetensors")):
        atomic_write(run / file.name, file.read_bytes())
    return steps


def check_run(run: Path, plan: dict[str, Any], resume: bool) -> bool:
    """Return whether `run` holds a run, to be resumed. Reads only.

    Args:
        run: the run folder; it need not exist.
        plan: from `plan_run`.
        resume: go on with the run that is there, if any.

    Raises:
        GeosetError: the folder holds a run and `resume` is off, or one of another plan.
    """
    path = run / "run.json"
    if not path.exists():
        return False
    if not resume:
        raise GeosetError(
            f"{run} already holds a run. Continue it with --resume, or choose another folder "
            "with --out."
        )
    difference = first_difference(json.loads(path.read_text())["plan"], plan)
    if difference:
        name, before, now = difference
        raise GeosetError(
            f"{run} cannot be resumed with other settings: {name} was {before!r}, now it is "
            f"{now!r}. Resume with the former settings (they are in {path}), or start a new run in "
            "another folder with --out."
        )
    return True


def describe_run(run: Path, plan: dict[str, Any], device: torch.device) -> None:
    """Write `run.json`: the plan, versions and hardware."""
    on_gpu = device.type == "cuda"
    description = {
        "plan": plan,
        "versions": {
            "geoset": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "hardware": {
            "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
            "cores": os.cpu_count(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
    }
    atomic_write(run / "run.json", json.dumps(description, indent=2) + "\n")


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Return the dotted name and the two values of the first difference, or None."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return (name, before, now) if before != now else None
    for key in before | now:
        inner = f"{name}.{key}" if name else str(key)
        difference = first_difference(before.get(key), now.get(key), inner)
        if difference:
            return difference
    return None
