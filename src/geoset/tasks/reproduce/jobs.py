"""The runs that tables are made of: encoders, and what they score. Each has a folder of its own."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from geoset.data.label_batches import EvaluationBatches
from geoset.data.label_resize import resized
from geoset.data.label_set import LabelledSet
from geoset.evaluation.segmentation import confusion_matrix, score
from geoset.files import atomic_path, atomic_write
from geoset.models.load import load_model, usual_device
from geoset.models.read import weights_of
from geoset.recipes import (
    INSTANCE_RECIPES,
    SEGMENTATION_RECIPES,
    InstanceSettings,
    ModelSettings,
    PretrainRecipe,
    SegmentationSettings,
    instances_at_small_scale,
    segmentation_at_small_scale,
)
from geoset.recipes.methods import METHODS, Training, recipe_of
from geoset.recipes.moco import MocoSettings, moco_at_small_scale
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Task
from geoset.tasks import instances, segmentation
from geoset.tasks.labelled_cells import stack_images
from geoset.tasks.moco import pretrain_moco
from geoset.tasks.pretrain import build_pretraining, pretrain
from geoset.tasks.probe import estimate_batchnorm, fit_linear, network_features
from geoset.tasks.reproduce.data import Sources
from geoset.tasks.segmentation_scores import count_pixels
from geoset.training.checkpoint import checkpoint_path
from geoset.training.run_folder import planned_steps

RESCAN = re.compile(r"^(scene\d{4})_\d{2}$")
BATCHNORM_IMAGES = 128  # unlabelled, that statistics of frozen networks are estimated on
Finetuning = TypeVar("Finetuning", SegmentationSettings, InstanceSettings)
SCORE, CONFUSIONS, COST = "score.json", "confusions.npz", "cost.json"


@dataclass(frozen=True)
class Encoder:
    """What is trained by the first `stages` trainings of a method, with one seed.

    rates: learning rates of the first trainings at the small scale, in place of their own
    """

    method: str
    stages: int
    backbone: str
    seed: int
    rates: tuple[float, ...] = ()

    @property
    def trainings(self) -> tuple[Training, ...]:
        """Those that it takes."""
        trainings = METHODS[self.method].trainings[: self.stages]
        return tuple(
            replace(training, lr=lr or training.lr)
            for training, lr in zip_longest(trainings, self.rates[: len(trainings)])
        )

    @property
    def before(self) -> "Encoder | None":
        """What it goes on from."""
        return replace(self, stages=self.stages - 1) if self.stages > 1 else None

    @property
    def chain(self) -> list["Encoder"]:
        """All that its trainings end with, one after the other, itself last."""
        return [replace(self, stages=k) for k in range(1, self.stages + 1)]

    def folder(self, out: Path) -> Path:
        """Return its folder; methods that begin alike, at the same rates, share it."""
        chain = "+".join(
            f"{training.name}@{training.lr:g}" if training.lr else training.name
            for training in self.trainings
        )
        chain = chain or self.method
        return out / "encoders" / self.backbone / chain / f"seed-{self.seed}"


@dataclass(frozen=True)
class Score:
    """What an encoder scores in a task."""

    task: Task
    encoder: Encoder

    def folder(self, out: Path) -> Path:
        """Return its folder."""
        task = self.task
        name = {"probe": "probe", "segmentation": task.architecture, "instances": "mask_rcnn"}
        encoder = self.encoder.folder(Path())
        where = f"{task.data}-{name[task.kind]}-{task.share:g}"
        return out / "scores" / where / encoder.relative_to("encoders")


Job = Encoder | Score


def is_done(job: Job, out: Path) -> bool:
    """Tell whether a run has ended; an encoder has when its last checkpoint is there, too."""
    folder = job.folder(out)
    if isinstance(job, Score):
        return (folder / SCORE).is_file()
    return (folder / "model.safetensors").is_file() and checkpoint_path(
        folder, planned_steps(folder)
    ).is_dir()


def needs(job: Job) -> list[Encoder]:
    """Return the runs that must have ended before this one."""
    if isinstance(job, Encoder):
        return [job.before] if job.before else []
    return [job.encoder] if job.encoder.trainings else []


def start_of(encoder: Encoder, settings: ReproduceSettings) -> str:
    """Return the weights that the first training starts from: none at the small scale."""
    return "scratch" if settings.scale == "small" else METHODS[encoder.method].start


def recipe_for(encoder: Encoder, settings: ReproduceSettings) -> PretrainRecipe:
    """Return the recipe of an encoder's trainings."""
    return recipe_of(
        encoder.trainings,
        settings.scale,
        encoder.backbone,
        start_of(encoder, settings),
        settings.pretrain_steps,
    )


def run_job(job: Job, out: Path, sources: Sources, settings: ReproduceSettings) -> None:
    """Do what is missing of a run."""
    if isinstance(job, Encoder):
        _train(job, out, sources, settings)
        return
    began = time.monotonic()
    found = {"probe": _probe, "segmentation": _segmentation, "instances": _instances}
    scores = found[job.task.kind](job, out, sources, settings)
    result = {"scores": scores, "seconds": round(time.monotonic() - began, 1)}
    atomic_write(job.folder(out) / SCORE, json.dumps(result, indent=1) + "\n")


def _train(encoder: Encoder, out: Path, sources: Sources, settings: ReproduceSettings) -> None:
    scenes, folder = [sources.prepared], encoder.folder(out)
    if encoder.trainings[-1].terms:
        recipe, before = recipe_for(encoder, settings), encoder.before
        begin_with = before and before.folder(out)
        pretrain(scenes, folder, recipe, seed=encoder.seed, resume=True, begin_with=begin_with)
        return
    if settings.scale == "small":
        moco = moco_at_small_scale()
        lr = encoder.trainings[-1].lr or moco.optimizer.lr
        moco = replace(moco, optimizer=replace(moco.optimizer, lr=lr))
    else:
        model = ModelSettings(encoder.backbone, weights=start_of(encoder, settings))
        moco = MocoSettings(model)
    moco = replace(moco, steps=settings.pretrain_steps or moco.steps)
    pretrain_moco(scenes, folder, moco, seed=encoder.seed, resume=True)


def _weights(encoder: Encoder, out: Path, settings: ReproduceSettings) -> str:
    """Return what fine-tuning starts from."""
    if encoder.trainings:
        return str(encoder.folder(out) / "model.safetensors")
    return start_of(encoder, settings)


def _probe(
    job: Score, out: Path, sources: Sources, settings: ReproduceSettings
) -> dict[str, float]:
    """Fit a linear layer on frozen features; BatchNorm statistics are estimated alike for all."""
    train, val = (
        resized(data, sources.size) for data in sources.open(job.task.data, job.task.share)
    )
    network = frozen_network(job.encoder, out, settings, train)
    segment = fit_linear(network_features(network), train, len(train.classes))
    counted = [
        confusion_matrix(segment(images), labels, len(val.classes))
        for images, labels in EvaluationBatches(val, 1)
    ]
    return _save_confusions(job.folder(out), val, counted)


def frozen_network(
    encoder: Encoder, out: Path, settings: ReproduceSettings, data: LabelledSet
) -> nn.Module:
    """Return the network of an encoder, BatchNorm statistics estimated on images of `data`."""
    weights = _weights(encoder, out, settings)
    if encoder.trainings:
        network = load_model(weights)
    else:  # the network that all trainings of this backbone start with
        recipe = recipe_for(replace(encoder, method="view", stages=1), settings)
        recipe = replace(recipe, model=replace(recipe.model, weights=weights))
        network = build_pretraining(recipe, encoder.seed)[0].image
    chosen = np.linspace(0, len(data) - 1, min(len(data), BATCHNORM_IMAGES)).astype(int)
    network = network.to(usual_device())
    estimate_batchnorm(network, stack_images([data.image(i) for i in chosen], data.name))
    return network


def _segmentation(
    job: Score, out: Path, sources: Sources, settings: ReproduceSettings
) -> dict[str, float]:
    """Fine-tune for segmentation."""
    task, folder = job.task, job.folder(out)
    recipe = SEGMENTATION_RECIPES[task.architecture]
    small = partial(segmentation_at_small_scale, encoder=_weights(job.encoder, out, settings))
    recipe = _for_task(job, out, settings, recipe, small)
    train, val = sources.open(task.data, task.share)
    segmentation.finetune(train, val, folder, recipe, seed=job.encoder.seed, resume=True)
    network = load_model(weights_of(folder)).to(usual_device())
    counted = [
        count_pixels(network, [batch]) for batch in EvaluationBatches(val, 1, size=network.size)
    ]
    scores = _save_confusions(folder, val, counted)
    reported = json.loads((folder / "results.json").read_text())["mean_iou"]
    return scores | {"miou": 100 * reported}


def _instances(
    job: Score, out: Path, sources: Sources, settings: ReproduceSettings
) -> dict[str, float]:
    """Fine-tune Mask R-CNN."""
    task, folder = job.task, job.folder(out)
    recipe = _for_task(job, out, settings, INSTANCE_RECIPES[task.data], instances_at_small_scale)
    train, val = sources.open(task.data, task.share)
    instances.finetune(train, val, folder, recipe, seed=job.encoder.seed, resume=True)
    results = json.loads((folder / "results.json").read_text())
    return {
        f"{kind} {name}": 100 * (results[of_all]["mean"][name.lower()] or 0.0)
        for kind, of_all in (("box", "boxes"), ("mask", "masks"))
        for name in ("AP", "AP50", "AP75")
    }


def _for_task(
    job: Score,
    out: Path,
    settings: ReproduceSettings,
    recipe: Finetuning,
    at_small_scale: Callable[[Finetuning], Finetuning],
) -> Finetuning:
    """Return the recipe for a scale, with the weights it starts from."""
    recipe = replace(recipe, backbone=job.task.backbone)
    if settings.scale == "small":
        recipe = at_small_scale(recipe)
    else:  # published figures were scored so
        recipe = replace(recipe, protocol="pri3d")
    steps = settings.finetune_steps or recipe.steps
    return replace(recipe, encoder=_weights(job.encoder, out, settings), steps=steps)


def _save_confusions(
    folder: Path, data: LabelledSet, of_images: Sequence[Tensor]
) -> dict[str, float]:
    """Store the confusion matrix (C,C) of each place, which intervals are drawn from.

    ScanNet's scans of one room are one place, and so are all images whose ids name no scene.
    """
    scenes: dict[str, Any] = {}
    for i, confusion in enumerate(of_images):
        name = RESCAN.sub(r"\1", data.image_id(i).rpartition("/")[0])
        scenes[name] = scenes.get(name, 0) + confusion.cpu()
    stacked = torch.stack(list(scenes.values())).numpy()
    with atomic_path(folder / CONFUSIONS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream, confusions=stacked, scenes=list(scenes), classes=list(data.classes)
        )
    return {"miou": 100 * score(torch.from_numpy(stacked.sum(axis=0)), data.classes).mean_iou()}
