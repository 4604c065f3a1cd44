"""Reading weights from files, ours and others'; nothing in a file is ever executed."""

import pickle
import re
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from geoset.errors import GeosetError

WEIGHTS_FILE = "model.safetensors"
BEST_FILE = "best.safetensors"  # of fine-tuning by a protocol that chooses


def weights_of(path: Path) -> Path:
    """Return the weights of a run folder that count: the best if any were chosen, or the last.

    A path that is no folder is returned as it is.

    Raises:
        GeosetError: it is the folder of a run that is not finished.
    """
    if not path.is_dir():
        return path
    best, last = path / BEST_FILE, path / WEIGHTS_FILE
    if not best.exists() and not last.exists() and (path / "run.json").exists():
        raise GeosetError(
            f"{path}: is not finished, and has no {last.name} yet. Run its command again with "
            "--resume, or give a file of weights in it"
        )
    return best if best.exists() else last


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, on the CPU, and what a safetensors file says of itself.

    path: a safetensors file, a folder that holds one (see `weights_of`), or a file of `torch.save`
        that holds tensors by name: alone, or under the key `model` or `state_dict`.
        The prefix `module.` of distributed training is taken off.

    Raises:
        GeosetError: the file is missing, cut short, something else, or would have to run code.
    """
    path = weights_of(path)
    if not path.is_file():
        raise GeosetError(
            f"{path}: no such file. Give the .safetensors or .pth file of a model, or a folder "
            f"that holds a {WEIGHTS_FILE}"
        )
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file starts with 8 bytes of length and a JSON object.
    if start[8:] == b"{":
        return _read_safetensors(path)
    return _state_dict(_read_pickle(path), path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise GeosetError(
            f"{path}: not a safetensors file, or cut short ({error}). Copy it again, or give "
            "another checkpoint"
        ) from error


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if not needed:
            raise _not_weights(path, error) from error
        raise GeosetError(
            f"{path}: holds more than weights ({needed[1]}); reading that could run code of "
            "whoever made the file. Where it was made, write the weights alone: "
            "torch.save(model.state_dict(), 'weights.pth')"
        ) from error
    except Exception as error:  # on a damaged file, the reader fails in whatever way
        raise _not_weights(path, error) from error


def _not_weights(path: Path, error: Exception) -> GeosetError:
    first = str(error).partition("\n")[0]
    return GeosetError(
        f"{path}: neither a safetensors file nor one of torch.save, or cut short ({first}). Copy "
        "it again, or give another checkpoint"
    )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    state = content
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            state = content[key]
            break
    if not isinstance(state, dict) or not state:
        raise GeosetError(f"{path}: holds a {type(state).__name__}; {_EXPECTED}")
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise GeosetError(f"{path}: not tensors: {', '.join(others[:8])}; {_EXPECTED}")
    return {key.removeprefix("module."): value for key, value in state.items()}


_EXPECTED = "expected tensors by name, alone or under the key 'model' or 'state_dict'"
