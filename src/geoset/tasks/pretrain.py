"""Pre-train an image network on prepared scenes, stage after stage."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoset.data.pairs import PairBatches
from geoset.data.points import PointSampler
from geoset.errors import GeosetError
from geoset.models.initial import load_initial
from geoset.models.load import save_model
from geoset.models.network import build_network
from geoset.models.pretraining import PretrainNetwork
from geoset.prepare.data_set import open_scenes
from geoset.prepare.scene import PreparedScene
from geoset.prepare.stamped import checksum
from geoset.recipes import Hardware, PretrainRecipe, StageSettings
from geoset.recipes.length import steps_of
from geoset.tasks.pretrain_step import compute_losses, finish_batch
from geoset.tasks.running import CURVES, load_stage, run_stages, say
from geoset.training.run_folder import first_difference
from geoset.training.stage import Stage

OF_SETS_ALONE = (
    *("layers", "layer_weights", "groups"),
    *("aggregation", "keys", "negatives", "min_pixels"),
)


def pretrain(
    prepared: Sequence[str | Path],
    out: Path,
    recipe: PretrainRecipe,
    *,
    seed: int = 0,
    resume: bool = False,
    begin_with: Path | None = None,
    hardware: Hardware | None = None,
) -> Path:
    """Run the stages of `recipe` on prepared scenes; return the path of the final weights.

    The result is a function of (recipe, scenes, seed, number of devices); a run that was stopped
    continues with `resume`, and on a CPU with as many threads ends with the same weights, bitwise.

    begin_with: a finished run of the first stages of `recipe` on the same scenes; they are not
        trained again

    Raises:
        GeosetError: no scene, no pairs, no depth for a loss that needs it, a run in `out` that
            `resume` does not fit, a `begin_with` that is of other stages, settings or scenes, a
            loss that is not finite.
    """
    hardware = hardware or Hardware()
    scenes = open_scenes(prepared)
    _check_depth(scenes, recipe)
    network, report = build_pretraining(recipe, seed)
    say(report)
    ranks = hardware.devices * hardware.nodes
    stages = stages_of(recipe, scenes, network, seed, ranks=ranks, workers=hardware.workers)
    settings = {
        "recipe": asdict(recipe),
        "scenes": {scene.name: _contents(scene, recipe) for scene in scenes},
    }
    if begin_with and not (out / "run.json").is_file():
        _check_beginning(begin_with, settings)
    weights = run_stages(
        network,
        stages,
        out,
        hardware,
        settings=settings,
        seed=seed,
        save_weights=lambda network, path: save_model(network.image, path),
        resume=resume,
        begin_with=begin_with,
        precision=recipe.precision,
        accumulate=recipe.accumulate,
        all_used=len({(stage.geo > 0, stage.depth > 0) for stage in recipe.stages}) == 1,
    )
    say(f"weights: {weights}\ncurves:  {out / CURVES}")
    say(f"log:     {out / 'log.jsonl'} (or: tensorboard --logdir {out})")
    return weights


def _check_beginning(run: Path, settings: dict[str, Any]) -> None:
    """Raise GeosetError if the stages of a run are not the first of a run with `settings`."""
    file = run / "run.json"
    if not file.is_file():
        return  # is told when the run is to be copied
    before = json.loads(file.read_text())["plan"]["settings"]
    count = len(before["recipe"]["stages"])
    now = json.loads(json.dumps(settings))
    difference = first_difference(_of_first(before, count), _of_first(now, count))
    if difference:
        name, found, wanted = difference
        raise GeosetError(
            f"{run}: was trained with another {name}: {found!r}, expected {wanted!r}; a run goes "
            "on from one with its own settings and scenes only"
        )


def _of_first(settings: dict[str, Any], count: int) -> dict[str, Any]:
    """Return what of a run's settings its first `count` stages depend on."""
    recipe, scenes = dict(settings["recipe"]), settings["scenes"]
    stages = recipe["stages"] = recipe["stages"][:count]
    if not any(stage["geo"] for stage in stages):
        del recipe["geo"]
    if not any(stage["sets"] for stage in stages):
        for name in OF_SETS_ALONE:
            del recipe[name]
        scenes = {
            scene: {name: of for name, of in files.items() if "/" not in name}
            for scene, files in scenes.items()
        }
    return {"recipe": recipe, "scenes": scenes}


def build_pretraining(recipe: PretrainRecipe, seed: int) -> tuple[PretrainNetwork, str]:
    """Return the network as it is before the first step, and a line on its weights."""
    torch.manual_seed(seed)
    model = recipe.model
    image = build_network(model.encoder, model.out_channels, model.width)
    report = load_initial(image, model.weights)
    network = PretrainNetwork(
        image,
        depth=recipe.uses("depth"),
        geo_channels=recipe.geo.channels if recipe.uses("geo") else None,
        geo_width=recipe.geo.width,
    )
    # Convolutions in this memory layout are 1.1 to 1.4 times as fast on a CPU.
    return network.to(memory_format=torch.channels_last), report


def _check_depth(scenes: Sequence[PreparedScene], recipe: PretrainRecipe) -> None:
    without = [scene.name for scene in scenes if not scene.has_depth]
    wanted = [term for term in ("view", "depth") if recipe.uses(term)]
    if wanted and len(without) == len(scenes):
        raise GeosetError(
            f"none of the {len(scenes)} scenes has depth images, which the losses "
            f"{' and '.join(wanted)} need. Set their weights to 0 (--stages.0.{wanted[0]} 0), or "
            "train on sets alone (--recipe sets_only)"
        )
    if wanted and without:
        say(f"{len(without)} of {len(scenes)} scenes have no depth images: {', '.join(without)}")


def stages_of(
    recipe: PretrainRecipe,
    scenes: Sequence[PreparedScene],
    network: PretrainNetwork,
    seed: int,
    *,
    ranks: int = 1,
    workers: int = 0,
) -> list[Stage]:
    """Return what the engine is to do in each stage of `recipe`, shared by `ranks` processes."""
    stages, before, geo = [], 0, recipe.geo
    sampler = None
    if recipe.uses("geo"):  # one for all stages, since it keeps the voxels of all scenes
        sampler = PointSampler(scenes, geo.matches, geo.samples, geo.voxel_size)
    for settings in recipe.stages:
        batches = _batches_of(settings, recipe, scenes, network, seed, ranks, sampler)
        steps = steps_of(settings, batches.steps_per_epoch)
        if not stages:
            say(
                f"{len(scenes)} scenes, {len(batches.pairs)} pairs, {batches.steps_per_epoch} "
                "steps an epoch"
            )
            if batches.mixed:
                say(f"{batches.mixed} pairs of an upright and a lying image are left out")
        say(f"stage {settings.name}: {steps} steps of {_weights(settings)}")
        for layer in batches.layers:
            if layer.absent:
                say(f"layer {layer.name}: absent in {layer.absent} of {len(scenes)} scenes")
        stages.append(
            Stage(
                name=settings.name,
                steps=steps,
                optimizer=settings.optimizer,
                batches=partial(load_stage, batches, before, before + steps, workers),
                compute=partial(compute_losses, recipe, settings, ranks > 1),
                frames_per_batch=2 * recipe.batch_pairs // batches.parts,
            )
        )
        before += steps
    return stages


def _batches_of(
    stage: StageSettings,
    recipe: PretrainRecipe,
    scenes: Sequence[PreparedScene],
    network: PretrainNetwork,
    seed: int,
    ranks: int,
    sampler: PointSampler | None,
) -> PairBatches:
    """Return the batches of a stage, with what its losses look up and nothing else."""
    sizes = np.unique(np.concatenate([scene.sizes for scene in scenes]), axis=0).tolist()
    feature_sizes = {tuple(size): network.image.feature_size(*size) for size in sizes}
    return PairBatches(
        scenes,
        recipe.batch_pairs,
        seed,
        parts=ranks * recipe.accumulate,
        layers=recipe.layers if stage.sets else (),
        groups=recipe.groups if stage.sets else None,
        depth=bool(stage.view or stage.geo or stage.depth),
        heldout_every=recipe.heldout_every,
        finish=partial(finish_batch, recipe, feature_sizes, sampler if stage.geo else None, seed),
    )


def _weights(settings: StageSettings) -> str:
    return ", ".join(f"{weight:g} x {term}" for term, weight in settings.weights.items() if weight)


def _contents(scene: PreparedScene, recipe: PretrainRecipe) -> dict[str, dict]:
    """Return sizes and checksums of what a run reads of a scene."""
    names = []
    if recipe.uses("sets"):
        names += [f"sets/{layer}" for layer in recipe.layers if scene.has_layer(layer)]
        names += [f"groups/{recipe.groups}"] if recipe.groups else []
    arrays = {f"{name}.npy": checksum(scene.folder, name) for name in names}
    return scene.info["files"] | arrays
