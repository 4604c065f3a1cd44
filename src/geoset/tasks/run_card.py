"""What a run's folder tells of its training, as sections of a model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoset.errors import GeosetError
from geoset.recipes import TERMS

UNKNOWN = "Not known: there is no `run.json` beside the weights."
NOT_MEASURED = "Not measured by this run. `geoset compare` and `geoset evaluate` do."


def history_of(weights: Path) -> str:
    """Return "Training" and "Results", from `run.json`, `results.json` and `results.md` beside.

    No paths of this machine come along, of files of weights only their names.

    Raises:
        GeosetError: one of the files is there, but none of geoset's.
    """
    return f"## Training\n\n{_training(weights.parent)}\n\n## Results\n\n{_results(weights)}"


def _training(folder: Path) -> str:
    description = _read(folder / "run.json")
    if description is None:
        return UNKNOWN
    try:
        return _describe(description["plan"], description["versions"])
    except (KeyError, TypeError, AttributeError) as error:
        raise _foreign(folder / "run.json", error) from error


def _describe(plan: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    settings = plan["settings"]
    if "recipe" in settings:
        recipe = settings["recipe"]
        start, batch = recipe["model"]["weights"], f"{recipe['batch_pairs']} pairs of views"
        losses = [_losses(stage) for stage in recipe["stages"]]
        data = f"{len(settings['scenes'])} scenes of RGB-D frames, without labels"
    elif "moco" in settings:
        moco = settings["moco"]
        start, batch = moco["model"]["weights"], f"{moco['batch']} frames"
        losses = ["MoCoV2"] * len(plan["stages"])
        data = f"the frames of {len(settings['scenes'])} scenes, without labels"
    else:
        kind = "segmentation" if "segmentation" in settings else "instances"
        tuned, data_set = settings[kind], settings["data"]
        start, batch = tuned["encoder"], f"{tuned['batch']} images"
        losses = [f"{kind}, labelled"] * len(plan["stages"])
        data = f"{data_set['images']} labelled images of {Path(data_set['name']).name}"
    lines = [
        f"- data: {data}",
        f"- started from: {start if start in ('scratch', 'imagenet') else Path(start).name}",
        f"- a step: {batch}; seed {plan['seed']}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        "",
        "| stage | steps | losses | optimizer | learning rate |",
        "|---|---|---|---|---|",
    ]
    for stage, terms in zip(plan["stages"], losses, strict=True):
        optimizer = stage["optimizer"]
        lines.append(
            f"| {stage['name']} | {stage['steps']} | {terms} | {optimizer['kind']} | "
            f"{optimizer['lr']:g} |"
        )
    return "\n".join(lines)


def _losses(stage: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage[term]:g} x {term}" for term in TERMS if stage[term])


def _results(weights: Path) -> str:
    results, table = _read(weights.parent / "results.json"), weights.parent / "results.md"
    # Those of the best weights are not those of the last.
    if results is None or results.get("weights") != weights.name or not table.exists():
        return NOT_MEASURED
    return table.read_text().strip()


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise _foreign(path, error) from error


def _foreign(path: Path, error: Exception) -> GeosetError:
    return GeosetError(
        f"{path}: is not as geoset writes it ({error!r}). Move it away, and the model card says "
        "that it is not known"
    )
