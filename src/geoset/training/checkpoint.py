"""Checkpoints of a run: folders `checkpoints/step-00000120`, each complete or absent.

A checkpoint is written under another name, synced to the disk, and renamed. Killing the process at
any moment leaves the former checkpoints, or those and the new one.
"""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from geoset.errors import GeosetError

KEEP = 2  # one more than needed, should the disk damage the newest

UNWRITTEN = (OSError, SafetensorError, RuntimeError)  # what a full disk raises, by who writes
WEIGHTS, STATE, MANIFEST = "model.safetensors", "state.pt", "checkpoint.json"


def save_checkpoint(run: Path, step: int, model: nn.Module, state: dict[str, Any]) -> Path:
    """Write all of `model`, and `state`, as they are after `step` steps; keep the newest `KEEP`.

    Args:
        run: the run folder.
        step: steps taken since the start of the run.
        model: parameters and buffers are stored as safetensors.
        state: tensors, numbers, strings, and lists and dicts of them.

    Raises:
        GeosetError: the disk is full, or the folder cannot be written; former checkpoints stay.
    """
    folder = checkpoint_path(run, step)
    if folder.exists():
        return folder
    partial = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_model(model, str(partial / WEIGHTS))
        torch.save(state, partial / STATE)
        checksums = {name: _sha256(partial / name) for name in (WEIGHTS, STATE)}
        (partial / MANIFEST).write_text(json.dumps({"step": step, "sha256": checksums}))
        for file in partial.iterdir():
            _sync(file)
        partial.rename(folder)
        _sync(folder.parent)
    except UNWRITTEN as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise GeosetError(
            f"{folder}: the checkpoint cannot be written ({reason}). Former "
            "checkpoints are unchanged; make room, then run the same command with --resume."
        ) from error
    for old in _all_checkpoints(run)[:-KEEP]:
        _remove(old)
    return folder


def newest_checkpoint(run: Path) -> tuple[Path, int] | None:
    """Return the newest intact checkpoint of `run` and its step, or None. Warns of damaged ones."""
    for folder in reversed(_all_checkpoints(run)):
        if _is_intact(folder):
            return folder, _step(folder)
        warnings.warn(
            f"{folder}: its files do not match their checksums; going back to the one before",
            stacklevel=2,
        )
    return None


def load_checkpoint(folder: Path, model: nn.Module) -> dict[str, Any]:
    """Load the weights in `folder` into `model`, and return the state saved with them.

    Raises:
        GeosetError: the weights are those of another model.
    """
    try:
        load_model(model, str(folder / WEIGHTS))
    except RuntimeError as error:
        raise GeosetError(
            f"{folder}: the weights do not fit this model. Resume with the settings the run was "
            f"started with, or start a new run in another folder (--out). {error}"
        ) from error
    return torch.load(folder / STATE, map_location="cpu", weights_only=True)


def remove_checkpoints_after(run: Path, step: int) -> None:
    """Remove what cannot be resumed from: checkpoints after `step`, and half-written ones."""
    for folder in _all_checkpoints(run):
        if _step(folder) > step:
            _remove(folder)
    for partial in (run / "checkpoints").glob(".step-*.part"):
        shutil.rmtree(partial)


def checkpoint_path(run: Path, step: int) -> Path:
    """Return where the checkpoint after `step` steps lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def _all_checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"), key=_step)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _remove(folder: Path) -> None:
    # Renamed first: a folder that bears the name of a checkpoint is whole.
    partial = folder.with_name(f".{folder.name}.part")
    folder.rename(partial)
    shutil.rmtree(partial)


def _is_intact(folder: Path) -> bool:
    try:
        checksums = json.loads((folder / MANIFEST).read_text())["sha256"]
        return all(_sha256(folder / name) == checksums[name] for name in (WEIGHTS, STATE))
    except (OSError, ValueError, KeyError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
