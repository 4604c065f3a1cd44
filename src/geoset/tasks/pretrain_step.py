"""One step of pre-training: what the loader makes of a batch, and the losses of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geoset.data.augment import augment
from geoset.data.pairs import PairBatch
from geoset.data.points import PointBatch, PointSampler
from geoset.evaluation.features import effective_rank, sample_cells
from geoset.losses import (
    SetMatches,
    depth_loss,
    find_set_matches,
    match_pixels,
    matched_set_loss,
    point_info_nce,
    view_loss,
)
from geoset.models.pretraining import Outputs
from geoset.recipes import PretrainRecipe, StageSettings

RANK_SAMPLE = 1024  # feature vectors that the effective rank is measured on


class TrainingBatch(NamedTuple):
    """A PairBatch, with what the losses of a stage need already looked up.

    depth: None where no loss needs it
    matches: for each layer, which sets the views of each pair share; empty without the set loss
    points: the voxels around each view; None without the Geo loss
    """

    images: Tensor
    depth: Tensor | None
    K: Tensor
    world_from_camera: Tensor
    view_pairs: Tensor
    matches: tuple[SetMatches, ...]
    points: PointBatch | None
    frames: list[str]

    def describe(self) -> str:
        """Name the scenes and frames of the batch."""
        return ", ".join(self.frames)


def finish_batch(
    recipe: PretrainRecipe,
    feature_sizes: Mapping[tuple[int, int], tuple[int, int]],
    sampler: PointSampler | None,
    seed: int,
    batch: PairBatch,
    step: int,
) -> TrainingBatch:
    """Look up what the losses compare, in the process that loads the batch.

    feature_sizes: (h, w) of the network's features, by the images' (H, W)
    sampler: of the points for the Geo loss, if a stage has it
    """
    matches = tuple(
        find_set_matches(
            ids,
            batch.view_pairs,
            feature_sizes[tuple(batch.images.shape[-2:])],
            min_pixels=recipe.min_pixels,
            group_ids=batch.group_ids.get(layer),
        )
        for layer, ids in batch.set_ids.items()
    )
    points = None
    if sampler:
        points = sampler.batch(batch.views.numpy(), batch.depth.numpy(), (seed, step))
    return TrainingBatch(
        batch.images,
        batch.depth,
        batch.K,
        batch.world_from_camera,
        batch.view_pairs,
        matches,
        points,
        batch.frames,
    )


def compute_losses(
    recipe: PretrainRecipe,
    stage: StageSettings,
    across_ranks: bool,
    model: nn.Module,
    batch: TrainingBatch,
    generator: torch.Generator,
) -> dict[str, Tensor | float]:
    """Return the weighted sum of a stage's losses, "loss", and what to log beside it.

    Each loss has a fixed weight: one that finds nothing in a batch is 0, and changes no other's.
    across_ranks: count and compare over all processes
    """
    images = augment(batch.images, _on_cpu(generator), recipe.augmentation)
    outputs = model(
        images.contiguous(memory_format=torch.channels_last), batch.points, depth=stage.depth > 0
    )
    terms: dict[str, Tensor | float] = {}
    losses = []
    if stage.view > 0:
        found = _view(recipe, outputs, batch, generator, across_ranks)
        losses.append(stage.view * found.loss)
        terms |= _describe("view", found) | {"view/pairs without match": found.empty_pairs}
    if stage.geo > 0:
        found = point_info_nce(
            outputs.pixels,
            outputs.points,
            batch.points.count,
            recipe.temperature,
            across_ranks=across_ranks,
        )
        losses.append(stage.geo * found.loss)
        terms |= _describe("geo", found)
    if stage.depth > 0:
        found = depth_loss(outputs.depth, batch.depth, across_ranks=across_ranks)
        losses.append(stage.depth * found.loss)
        terms |= {"depth/loss": found.loss.detach()}
    if stage.sets > 0:
        loss, logged = _sets(recipe, outputs, batch, generator, across_ranks)
        losses.append(stage.sets * loss)
        terms |= logged
    rank = effective_rank(sample_cells(outputs.features, RANK_SAMPLE, generator))
    return {"loss": torch.stack(losses).sum()} | terms | {"rank": rank}


def _view(
    recipe: PretrainRecipe,
    outputs: Outputs,
    batch: TrainingBatch,
    generator: torch.Generator,
    across_ranks: bool,
) -> Any:
    matches = match_pixels(
        batch.depth,
        batch.K,
        batch.world_from_camera,
        batch.view_pairs,
        samples=recipe.pixel_samples,
        generator=generator,
    )
    return view_loss(
        outputs.features,
        matches,
        batch.depth.shape[1:],
        batch.view_pairs,
        recipe.temperature,
        across_ranks=across_ranks,
    )


def _sets(
    recipe: PretrainRecipe,
    outputs: Outputs,
    batch: TrainingBatch,
    generator: torch.Generator,
    across_ranks: bool,
) -> tuple[Tensor, dict[str, Tensor | float]]:
    """Return the mean loss over the layers, and what to log."""
    weights = recipe.layer_weights or (1.0,) * len(recipe.layers)
    losses, terms = [], {}
    for layer, weight, matches in zip(recipe.layers, weights, batch.matches, strict=True):
        found = matched_set_loss(
            outputs.features,
            matches,
            temperature=recipe.temperature,
            aggregation=recipe.aggregation,
            keys=recipe.keys,
            negatives=recipe.negatives,
            across_ranks=across_ranks,
            generator=generator,
        )
        losses.append(weight / sum(weights) * found.loss)
        name = "sets" if len(recipe.layers) == 1 else f"sets {layer}"
        terms |= _describe(name, found) | {f"{name}/pair": found.matches / len(batch.view_pairs)}
    return torch.stack(losses).sum(), terms


def _describe(name: str, found: Any) -> dict[str, Tensor]:
    """Return the loss relative to chance, and the mean dot products."""
    return {
        f"{name}/chance": found.loss.detach() / found.chance.clamp(min=1e-6),
        f"{name}/positive": found.positive,
        f"{name}/negative": found.negative,
    }


def _on_cpu(generator: torch.Generator) -> torch.Generator:
    """Return the generator, or one on the CPU that is seeded alike."""
    if generator.device.type == "cpu":
        return generator
    return torch.Generator().manual_seed(generator.initial_seed())
