"""What all fine-tuning on labelled images has in common, whatever it is for."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lightning_fabric.utilities.rank_zero import rank_zero_only

from geoset.data.label_set import LabelledSet
from geoset.models.load import network_config
from geoset.training.loop import FINAL_WEIGHTS

CURVES, VALIDATION = "curves.png", "validation.json"
BEST = "best.safetensors"

Settings = TypeVar("Settings")


@rank_zero_only
def say(text: str) -> None:
    """Print a line, whatever the number of processes that get here."""
    print(text, flush=True)


def with_network_of_weights(settings: Settings) -> Settings:
    """Return `settings` with the encoder and the width that a file of weights says it is for.

    settings: a dataclass with the fields `weights`, `encoder` and `width`
    """
    if not Path(settings.weights).exists():
        return settings
    config = network_config(settings.weights)
    return replace(settings, **{key: config[key] for key in ("encoder", "width") if key in config})


def contents(data: LabelledSet, classes: Sequence[str]) -> dict[str, Any]:
    """Return what identifies the training images, without reading them."""
    names = "\n".join(data.image_id(i) for i in range(len(data)))
    return {
        "name": data.name,
        "images": len(data),
        "sha256": hashlib.sha256(names.encode()).hexdigest(),
        "classes": list(classes),
    }


def weights_in(path: Path) -> Path:
    """Return the weights of a run folder that count: the best if any were chosen, or the last."""
    if not path.is_dir():
        return path
    best = path / BEST
    return best if best.exists() else path / FINAL_WEIGHTS
