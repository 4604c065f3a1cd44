"""What all runs of a folder have in common, and is kept there."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.recipes.reproduce import ReproduceSettings

SETTINGS = "settings.json"


def shared_settings(settings: ReproduceSettings, data: Mapping[str, Path] | None) -> dict[str, Any]:
    """Return, by the name of its option, what all runs of a folder have in common."""
    shared = {name: getattr(settings, name) for name in ("scale", "pretrain_steps")}
    shared["finetune_steps"] = settings.finetune_steps
    if data is None:
        rooms = {f"rooms.{name}": count for name, count in asdict(settings.rooms).items()}
        return shared | {"data": "benchmark"} | rooms
    paths = {f"data {name}": str(path.resolve()) for name, path in data.items()}
    return shared | {"data": "published"} | paths


def check_settings(out: Path, shared: Mapping[str, Any]) -> None:
    """Refuse settings other than those of the runs in `out`, which would be taken for them.

    Raises:
        GeosetError: one differs.
    """
    for name, before in kept_settings(out).items():
        if name in shared and shared[name] != before:
            raise GeosetError(
                f"{out / SETTINGS}: {name} of the runs there is {_shown(before)}, now it is "
                f"{_shown(shared[name])}; all runs of a folder share it. Choose another folder "
                f"with --out, or give {name} as it was"
            )


def keep_settings(out: Path, shared: Mapping[str, Any]) -> None:
    """Write down what all runs in `out` are made with, if that is not there."""
    before = kept_settings(out)
    if shared.keys() - before.keys():
        atomic_write(out / SETTINGS, json.dumps({**shared, **before}, indent=1) + "\n")


def kept_settings(out: Path) -> dict[str, Any]:
    """Return what `keep_settings` wrote down; nothing if it did not."""
    path = out / SETTINGS
    return json.loads(path.read_text()) if path.is_file() else {}


def _shown(value: Any) -> str:
    return "that of the scale" if value is None else str(value)
