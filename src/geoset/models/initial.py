"""What a network's weights are before training: drawn, from ImageNet, or from a file."""

import hashlib
import re
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from geoset.errors import GeosetError
from geoset.models.encoder import RESNETS
from geoset.models.image_network import ImageNetwork
from geoset.models.load import listed, load_weights
from geoset.models.pri3d import from_pri3d, is_pri3d, without
from geoset.models.read import read_weights

DRAWN = "weights: drawn at random"

# What a segmentation network has besides; it is for its own classes.
HEADS = {"head.": "last layer", "auxiliary.": "auxiliary head"}

BODY = "backbone.body."  # the encoder of Mask R-CNN, torchvision's and ours
DETECTION = {"backbone.fpn.": "pyramid", "rpn.": "proposals", "roi_heads.": "heads of regions"}


def load_initial(network: ImageNetwork, weights: str) -> str:
    """Start the encoder and the decoder of `network` from `weights`.

    Returns a line that says what was used and what skipped.

    weights:
        "scratch": as they were drawn.
        "imagenet": the encoder from torchvision's IMAGENET1K_V1 for ResNets (the weights that Pri3D
            and the paper start from), or else from timm's weights for the encoder's tag. Fetched
            once when online, then found in the caches of torch.hub and of timm.
        a file: a backbone of torchvision (ResNets) or timm by its own names, classifier or not; a
            model of `save_model`, whole or its encoder alone, fine-tuned or not; torchvision's
            Mask R-CNN; a checkpoint of Pri3D. A decoder stays as drawn where the file has none, or
            that of another architecture.

    Raises:
        GeosetError: the weights are not to be had, unreadable, or do not fit; nothing was loaded
            then, and the text lists what is missing, unexpected or of another shape.
    """
    if weights == "scratch":
        return DRAWN
    state, source, skipped = _find(network.encoder, weights)
    own = network.state_dict()
    whole = any(key.startswith("decoder.") and key in own for key in state)
    if not whole:
        state, skipped = _without_decoder(state, skipped, "another architecture's")
    wanted = ("encoder.", "decoder.") if whole else ("encoder.",)
    kept = {key for key in own if _is_count(key) or not key.startswith(wanted)}
    load_weights(network, {key: own[key] for key in kept} | state, source)
    return _report(state, source, "" if whole else "; decoder drawn at random", skipped)


def load_encoder(encoder: nn.Module, weights: str) -> str:
    """Start an encoder of `build_encoder` from `weights`, and leave all else in them aside.

    Returns a line that says what was used and what skipped. weights, errors: as `load_initial`.
    """
    if weights == "scratch":
        return DRAWN
    state, source, skipped = _find(encoder, weights)
    state, skipped = _without_decoder(state, skipped, "decoder")
    state = {key.removeprefix("encoder."): value for key, value in state.items()}
    counts = {key: value for key, value in encoder.state_dict().items() if _is_count(key)}
    load_weights(encoder, counts | state, source)
    return _report(state, source, "", skipped)


def _find(encoder: nn.Module, weights: str) -> tuple[dict[str, Tensor], str, str]:
    """Return the tensors of `weights` by the names of `DenseNetwork`, their source, and the rest.

    The rest: what they hold beside an encoder and a decoder, as text.
    """
    if weights != "imagenet" and not Path(weights).exists():
        raise GeosetError(
            f"weights '{weights}': expected 'scratch', 'imagenet' or a file that exists"
        )
    name = encoder.name
    if weights == "imagenet" and encoder.width != 1:
        raise GeosetError(
            f"weights 'imagenet' for a {name} of width {encoder.width:g}: there are none. Set the "
            "width to 1, or start from 'scratch'"
        )
    if weights == "imagenet" and name not in RESNETS:
        state, source = _from_timm(name), f"timm's {name}"
    else:
        path = _torchvision_file(name) if weights == "imagenet" else Path(weights)
        _check_hash(path)
        state, source = read_weights(path)[0], str(path)
    state, skipped = _own_names(encoder, state, source)
    return state, source, skipped


def _without_decoder(
    state: dict[str, Tensor], skipped: str, meaning: str
) -> tuple[dict[str, Tensor], str]:
    """Split off a decoder; return the rest, and what was skipped with it and before."""
    state, decoder = without(state, {"decoder.": meaning})
    return state, ", ".join(filter(None, (decoder, skipped)))


def _report(state: dict[str, Tensor], source: str, decoder: str, skipped: str) -> str:
    left = f"; skipped {skipped}" if skipped else ""
    return f"weights: {len(state)} tensors of {source}{decoder}{left}"


def _is_count(key: str) -> bool:
    """Tell a count of training steps, which some files of torchvision lack and nothing reads."""
    return key.endswith("num_batches_tracked")


def _own_names(
    encoder: nn.Module, state: dict[str, Tensor], source: str
) -> tuple[dict[str, Tensor], str]:
    """Return the tensors under the names of `DenseNetwork`, and what was left out of them."""
    if is_pri3d(state):
        return from_pri3d(state)
    if any(key.startswith(("encoder.", "decoder.")) for key in state):
        return without(state, HEADS)
    if any(key.startswith(BODY) for key in state):
        state, skipped = without(state, DETECTION)
        return {f"encoder.{key.removeprefix(BODY)}": state[key] for key in state}, skipped
    name = encoder.name
    prefix = "encoder." if name in RESNETS else "encoder.model."
    own = {f"encoder.{key}" for key in encoder.state_dict()}
    if not any(prefix + key in own for key in state):
        raise GeosetError(
            f"{source}: holds no weights of {name}, but {listed(sorted(state))}. Expected the "
            "names of torchvision or timm, a model of geoset, or a checkpoint of Pri3D"
        )
    heads = dict.fromkeys(_heads(encoder), "not in the encoder")
    state, skipped = without(state, heads)
    return {prefix + key: value for key, value in state.items()}, skipped


def _heads(encoder: nn.Module) -> list[str]:
    """Return the names of the whole backbone's tensors that the encoder does without."""
    name = encoder.name
    if name in RESNETS:
        return ["fc."]
    with torch.random.fork_rng(devices=[]):
        whole = timm.create_model(name, pretrained=False)
    own = encoder.model.state_dict().keys()
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
            f"at {path}, or name a local file of them in place of 'imagenet'"
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
            "keeps them in its cache; or name a local file of them in place of 'imagenet'"
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
