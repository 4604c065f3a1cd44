"""Models on disk: a safetensors file that also says how to rebuild the network."""

import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.models.resunet import ResUNet

METADATA_KEY = "geoset_model"
MODELS = {"ResUNet": ResUNet}


def save_model(model: nn.Module, path: str | Path) -> None:
    """Write the weights and the configuration of `model` to the file `path`, all or nothing.

    Raises:
        GeosetError: the model is none that `load_model` rebuilds, or the file cannot be written.
    """
    name = type(model).__name__
    if name not in MODELS:
        raise GeosetError(
            f"a {name} cannot be saved as a geoset model; expected one of: {', '.join(MODELS)}. "
            "Pass the network itself, without what wraps it for training"
        )
    description = json.dumps({"model": name, "config": model.config})
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    atomic_write(path, safetensors.torch.save(state, {METADATA_KEY: description}))


def load_model(path: str | Path) -> nn.Module:
    """Read a model written by `save_model`, on the CPU, in evaluation mode.

    path: the file, or a folder that holds it as `model.safetensors`

    Raises:
        GeosetError: the file is missing, unreadable or no geoset model, or its weights do not
            fit the network it names; the text lists them.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    state, metadata = _read(path)
    try:
        description = json.loads(metadata[METADATA_KEY])
        model = MODELS[description["model"]](**description["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise GeosetError(
            f"{path}: does not say which network its weights are for ({error!r}). Expected a file "
            "written by geoset.models.load.save_model of this version"
        ) from error
    load_weights(model, state, str(path))
    return model.eval()


def load_weights(model: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Copy `state` into `model`; every key must be there, and no other.

    Raises:
        GeosetError: listing keys that are missing, unexpected or of another shape; `name` says
            where the weights came from.
    """
    own = model.state_dict()
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
            for key in sorted(own.keys() & state.keys())
            if state[key].shape != own[key].shape
        ],
    }
    found = "; ".join(f"{reason}: {', '.join(keys)}" for reason, keys in wrong.items() if keys)
    if found:
        raise GeosetError(
            f"{name}: the weights do not fit {type(model).__name__} ({found}). Nothing was "
            "loaded; build the network that they were saved from"
        )
    model.load_state_dict(state)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise GeosetError(
            f"{path}: no such file. Give the .safetensors file of a model, or a folder that holds "
            "a model.safetensors"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise GeosetError(
            f"{path}: not a safetensors file, or cut short ({error}). Copy it again, or give "
            "another checkpoint"
        ) from error
