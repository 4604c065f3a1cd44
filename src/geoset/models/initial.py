"""What a network's weights are before training: drawn, from ImageNet, or from a file."""

import hashlib
import re
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from torch import Tensor
from torchvision.models import get_model_weights

from geoset.errors import GeosetError
from geoset.models.dense import DenseNetwork
from geoset.models.encoder import RESNETS
from geoset.models.load import listed, load_weights
from geoset.models.pri3d import from_pri3d, is_pri3d, without
from geoset.models.read import read_weights


def load_initial(network: DenseNetwork, weights: str) -> str:
    """Start `network` from `weights`; return a line that says what was used and what skipped.

    weights:
        "scratch": as they were drawn.
        "imagenet": the encoder from torchvision's IMAGENET1K_V1 for ResNets (the weights that Pri3D
            and the paper start from), or else from timm's weights for the encoder's tag. Fetched
            once when online, then found in the caches of torch.hub and of timm.
        a file: a backbone of torchvision (ResNets) or timm by its own names, classifier or not; a
            model of `save_model`, whole or its encoder alone; a checkpoint of Pri3D. A decoder that
            the file does not have stays as drawn.

    Raises:
        GeosetError: the weights are not to be had, unreadable, or do not fit; nothing was loaded
            then, and the text lists what is missing, unexpected or of another shape.
    """
    if weights == "scratch":
        return "weights: drawn at random"
    if weights != "imagenet" and not Path(weights).exists():
        raise GeosetError(
            f"weights '{weights}': expected 'scratch', 'imagenet' or a file that exists"
        )
    name, width = network.config["encoder"], network.config["width"]
    if weights == "imagenet" and width != 1:
        raise GeosetError(
            f"weights 'imagenet' for a {name} of width {width:g}: there are none. Set the width "
            "to 1, or start from 'scratch'"
        )
    if weights == "imagenet" and name not in RESNETS:
        state, source = _from_timm(name), f"timm's {name}"
    else:
        path = _torchvision_file(name) if weights == "imagenet" else Path(weights)
        _check_hash(path)
        state, source = read_weights(path)[0], str(path)
    state, skipped = _own_names(network, state, source)
    return _load(network, state, source) + (f"; skipped {skipped}" if skipped else "")


def _load(network: DenseNetwork, state: dict[str, Tensor], source: str) -> str:
    own = network.state_dict()
    # A count of training steps, which some files of torchvision lack, and which nothing reads.
    kept = {key for key in own if key.endswith("num_batches_tracked")}
    whole = any(key.startswith("decoder.") for key in state)
    if not whole:
        kept |= {key for key in own if key.startswith("decoder.")}
    load_weights(network, {key: own[key] for key in kept} | state, source)
    decoder = "" if whole else "; decoder drawn at random"
    return f"weights: {len(state)} tensors of {source}{decoder}"


def _own_names(
    network: DenseNetwork, state: dict[str, Tensor], source: str
) -> tuple[dict[str, Tensor], str]:
    """Return the tensors under the network's names, and what was left out of them."""
    if is_pri3d(state):
        return from_pri3d(state)
    if any(key.startswith(("encoder.", "decoder.")) for key in state):
        return state, ""
    name = network.config["encoder"]
    prefix = "encoder." if name in RESNETS else "encoder.model."
    own = network.state_dict().keys()
    if not any(prefix + key in own for key in state):
        raise GeosetError(
            f"{source}: holds no weights of {name}, but {listed(sorted(state))}. Expected the "
            "names of torchvision or timm, a model of geoset, or a checkpoint of Pri3D"
        )
    heads = dict.fromkeys(_heads(network), "not in the encoder")
    state, skipped = without(state, heads)
    return {prefix + key: value for key, value in state.items()}, skipped


def _heads(network: DenseNetwork) -> list[str]:
    """Return the names of the whole backbone's tensors that the encoder does without."""
    name = network.config["encoder"]
    if name in RESNETS:
        return ["fc."]
    with torch.random.fork_rng(devices=[]):
        whole = timm.create_model(name, pretrained=False)
    own = network.encoder.model.state_dict().keys()
    parts = {key.partition(".")[0] for key in own}
    # A classifier may be in the file also where timm's own weights have none.
    others = {*whole.state_dict().keys() - own, "head.weight"}
    return sorted(
        {key if key.partition(".")[0] in parts else key.partition(".")[0] + "." for key in others}
    )


def _torchvision_file(name: str) -> Path:
    """Return torchvision's file in the cache of torch.hub, fetching it the first time."""
    url = get_model_weights(name).IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), _hash_in(path), progress=False)
    except (OSError, RuntimeError, HTTPException) as error:
        raise GeosetError(
            f"ImageNet weights of {name} cannot be fetched ({error}). Put torchvision's file "
            f"at {path}, or name a local one: --model.weights FILE"
        ) from error
    return path


def _from_timm(name: str) -> dict[str, Tensor]:
    """Return the weights of timm's whole model, which timm has checked to fit it."""
    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise GeosetError(
            f"timm's weights of {name} cannot be fetched ({error}). Run once while online: timm "
            "keeps them in its cache; or name a local file of them: --model.weights FILE"
        ) from error


def _hash_in(path: Path) -> str | None:
    """Return the start of the SHA-256 that torchvision writes into the names of its files."""
    named = re.fullmatch(r"resnet\d+-([0-9a-f]{8})\.pth", path.name)
    return named and named[1]


def _check_hash(path: Path) -> None:
    expected = _hash_in(path)
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise GeosetError(
            f"{path}: its SHA-256 starts with {found[:8]}, not with {expected} as its name says: "
            "cut short or changed. Delete it and fetch it again"
        )
