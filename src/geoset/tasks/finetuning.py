"""What all fine-tuning on labelled images has in common, whatever it is for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lightning_fabric.utilities.rank_zero import rank_zero_only

from geoset.data.label_set import LabelledSet, LabelSource
from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.models.load import network_config
from geoset.models.read import BEST_FILE
from geoset.recipes import DataSettings

VALIDATION = "validation.json"

Settings = TypeVar("Settings")


def with_network_of_weights(settings: Settings) -> Settings:
    """Return `settings` with the backbone and the widths that a file of weights says it is for.

    settings: a dataclass with the fields `encoder` (the file), `backbone`, `width` and perhaps
        `out_channels`
    """
    config = config_in(settings.encoder)
    found = {"backbone": config.get("encoder"), "width": config.get("width")}
    if hasattr(settings, "out_channels"):
        found["out_channels"] = config.get("out_channels")
    return replace(settings, **{key: value for key, value in found.items() if value is not None})


def config_in(weights: str) -> dict[str, Any]:
    """Return what `weights` say of their network; nothing if they are no file."""
    named = weights in ("scratch", "imagenet") or not Path(weights).exists()
    return {} if named else network_config(weights)


def open_train_and_val(settings: DataSettings) -> tuple[LabelSource, LabelSource]:
    """Open the images to learn from, and those to be scored on.

    Raises:
        GeosetError: as `open_labelled`; a .json is given for both, which has no splits.
    """
    if settings.data.suffix == ".json" and settings.val_data is None:
        raise GeosetError(
            f"{settings.data}: would be both what is learned from and what is scored on; give "
            "another file for validation with --val-data, or a folder with annotations of each "
            "split as --data"
        )
    train = open_labelled(
        settings.data,
        "train",
        share=settings.share,
        split_file=settings.train_list,
        nyu_classes=settings.nyu_classes,
    )
    # Data of its own need not be divided into splits.
    split = "val" if settings.val_data is None or settings.val_list else "all"
    val = open_labelled(
        settings.val_data or settings.data,
        split,
        split_file=settings.val_list,
        nyu_classes=settings.nyu_classes,
    )
    return train, val


def contents(data: LabelledSet, classes: Sequence[str]) -> dict[str, Any]:
    """Return what identifies the training images, without reading them."""
    names = "\n".join(data.image_id(i) for i in range(len(data)))
    return {
        "name": data.name,
        "images": len(data),
        "sha256": hashlib.sha256(names.encode()).hexdigest(),
        "classes": list(classes),
    }


def snapshot_steps(steps: int, count: int) -> list[int]:
    """Return the `count` steps, spread evenly up to the last, after which weights are kept."""
    return [-(-steps * k // count) for k in range(1, count + 1)]


@rank_zero_only
def keep_best(out: Path, files: Mapping[int, Path], what: str, scores: Mapping[int, float]) -> None:
    """Write the scores of snapshots by step, and copy the best, the first of equals."""
    atomic_write(out / VALIDATION, json.dumps({what: scores}, indent=2) + "\n")
    atomic_write(out / BEST_FILE, files[max(scores, key=scores.__getitem__)].read_bytes())
