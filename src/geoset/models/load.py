"""Models on disk: a safetensors file that also says how to rebuild the network."""

import json
import warnings
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.models.dense import DenseNetwork
from geoset.models.detector import Detector
from geoset.models.pri3d import from_pri3d, is_pri3d, resnet_of
from geoset.models.read import read_weights
from geoset.models.resunet import ResUNet
from geoset.models.segmenter import Segmenter

METADATA_KEY = "geoset_model"
MODELS = {model.__name__: model for model in (ResUNet, DenseNetwork, Segmenter, Detector)}
LISTED = 12


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


def usual_device() -> str:
    """Return what networks are applied on unless asked otherwise: a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(path: str | Path) -> nn.Module:
    """Read a model of `save_model`, or a checkpoint of Pri3D, on the CPU in evaluation mode.

    path: the file, or the folder of a run, of which the best weights count, if any were chosen. A
        checkpoint of Pri3D becomes a `ResUNet` of equal outputs; warns of what it holds besides
        (3D network, heads).

    Raises:
        GeosetError: the file is missing, unreadable or neither, or its weights do not fit the
            network it names; the text lists them.
    """
    path = Path(path)
    state, metadata = read_weights(path)
    if is_pri3d(state):
        model, state = _pri3d_model(state, path)
    else:
        model = _named_model(metadata, path)
    load_weights(model, state, str(path))
    return model.eval()


def network_config(path: str | Path) -> dict[str, Any]:
    """Return what a file of weights says: `model` (of MODELS), `encoder`, `width`, `out_channels`.

    Empty where it says nothing, as a backbone of torchvision or timm. `out_channels` is that of a
    network for dense features, and None otherwise.

    Raises:
        GeosetError: the file is missing or unreadable.
    """
    state, metadata = read_weights(Path(path))
    if is_pri3d(state):
        last = state.get("backbone.decoder.conv0.weight")
        channels = None if last is None else len(last)
        encoder = resnet_of(state)
        return {"model": "ResUNet", "encoder": encoder, "width": 1.0, "out_channels": channels}
    if METADATA_KEY not in metadata:
        return {}
    description = json.loads(metadata[METADATA_KEY])
    named = {name: description["config"].get(name) for name in ("encoder", "width", "out_channels")}
    return {"model": description["model"], **named}


def _named_model(metadata: dict[str, str], path: Path) -> nn.Module:
    try:
        description = json.loads(metadata[METADATA_KEY])
        return MODELS[description["model"]](**description["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise GeosetError(
            f"{path}: does not say which network its weights are for ({error!r}). Expected a file "
            "written by geoset.models.load.save_model of this version, or a checkpoint of Pri3D; "
            "weights of a backbone alone are for geoset.models.initial.load_initial"
        ) from error


def _pri3d_model(state: dict[str, Tensor], path: Path) -> tuple[nn.Module, dict[str, Tensor]]:
    encoder = resnet_of(state)
    state, skipped = from_pri3d(state)
    if skipped:
        warnings.warn(f"{path}: {encoder} of Pri3D; skipped {skipped}", stacklevel=3)
    last = state.get("decoder.conv0.weight")
    return ResUNet(encoder, out_channels=None if last is None else len(last)), state


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
    found = "; ".join(f"{reason}: {listed(keys)}" for reason, keys in wrong.items() if keys)
    if found:
        network = getattr(model, "name", type(model).__name__)  # encoders have names
        raise GeosetError(
            f"{name}: the weights do not fit {network} ({found}). Nothing was "
            "loaded; build the network that they were saved from"
        )
    model.load_state_dict(state)


def listed(keys: list[str]) -> str:
    """Return the keys as text, those after the first twelve as their number."""
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
