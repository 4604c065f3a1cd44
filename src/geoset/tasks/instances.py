"""Fine-tune Mask R-CNN on labelled images, and say what it finds in others."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from rich.progress import track
from torch import Tensor

from geoset.data.label_batches import InstanceBatches
from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError
from geoset.models.detector import Detector
from geoset.models.encoder import RESNETS
from geoset.models.initial import load_encoder
from geoset.models.load import load_model, save_model
from geoset.models.read import BEST_FILE
from geoset.recipes import Hardware
from geoset.recipes.instances import PROTOCOLS, InstanceSettings
from geoset.tasks.finetuning import (
    contents,
    keep_best,
    snapshot_steps,
    with_network_of_weights,
)
from geoset.tasks.instance_scores import evaluate, score_detector
from geoset.tasks.running import CURVES, load_stage, run_stages, say
from geoset.training.stage import Stage


def finetune(
    data: LabelledSet,
    val: LabelledSet,
    out: Path,
    settings: InstanceSettings,
    *,
    seed: int = 0,
    resume: bool = False,
    hardware: Hardware | None = None,
) -> Path:
    """Train Mask R-CNN on `data`, evaluate it on `val`; return the path of its weights.

    The last weights count (`model.safetensors`), or by protocol pri3d those of `snapshots` along
    the way whose masks have the best AP on `val` (`best.safetensors`; all in `validation.json`).
    Results are those of `evaluate`, in `out`. The weights are a function of (settings, data, seed,
    number of devices); a run that was stopped continues with `resume`, and on a CPU with as many
    threads ends with the same weights, bitwise.

    Raises:
        GeosetError: `data` or `val` has no instances, or they have other classes; weights do not
            fit; a run in `out` that `resume` does not fit; a loss that is not finite.
    """
    hardware = hardware or Hardware()
    if data.instance_classes != val.instance_classes:
        raise GeosetError(
            f"{data.name} has instances of {_listed(data)}, but {val.name} of {_listed(val)}; "
            "train and evaluate on data with the same classes"
        )
    settings = with_network_of_weights(settings)
    detector, report = build_detector(data.instance_classes, settings, seed)
    say(report)
    ranks = hardware.devices * hardware.nodes
    stage = stage_of(data, settings, seed, ranks=ranks, workers=hardware.workers)
    weights = run_stages(
        detector,
        [stage],
        out,
        hardware,
        settings={"instances": asdict(settings), "data": contents(data, data.instance_classes)},
        seed=seed,
        save_weights=save_model,
        resume=resume,
        precision=settings.precision,
        accumulate=settings.accumulate,
        all_used=True,
    )
    if stage.snapshots:
        weights = _best_on_validation(out, stage, val, settings.protocol, hardware)
    say(f"weights: {weights}\ncurves:  {out / CURVES}")
    evaluate(out, val, out, hardware=hardware)
    return weights


def build_detector(
    classes: tuple[str, ...], settings: InstanceSettings, seed: int
) -> tuple[Detector, str]:
    """Return the network as it is before the first step, and a line on its weights."""
    torch.manual_seed(seed)
    pretrained = settings.encoder != "scratch"
    detector = Detector(
        settings.backbone,
        classes,
        settings.width,
        frozen=settings.freeze and pretrained and settings.backbone in RESNETS,
        sizes=settings.sizes,
        max_size=settings.max_size,
        regions=settings.regions,
    )
    report = load_encoder(detector.encoder, settings.encoder)
    # Convolutions in this memory layout are faster: 7 % of a step on a CPU.
    return detector.to(memory_format=torch.channels_last), report


def stage_of(
    data: LabelledSet, settings: InstanceSettings, seed: int, *, ranks: int = 1, workers: int = 0
) -> Stage:
    """Return what the engine is to do, shared by `ranks` processes."""
    protocol = PROTOCOLS[settings.protocol]
    batches = InstanceBatches(
        data,
        settings.batch,
        seed,
        parts=ranks * settings.accumulate,
        flip=settings.flip,
        min_pixels=protocol.min_pixels,
        watch=partial(
            track,
            description="Reading the instances of all images",
            total=len(data),
            transient=True,
            disable=rank_zero_only.rank != 0 or not sys.stdout.isatty(),
        ),
    )
    left_out = [f"{count} x {reason}" for reason, count in batches.dropped.items() if count]
    say(
        f"{data.name}: {len(batches.images)} images, {batches.steps_per_epoch} steps an epoch"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    return Stage(
        name="instances",
        steps=settings.steps,
        optimizer=settings.optimizer,
        batches=partial(load_stage, batches, 0, settings.steps, workers),
        compute=compute_losses,
        frames_per_batch=settings.batch // batches.parts,
        snapshots=tuple(snapshot_steps(settings.steps, settings.snapshots if protocol.best else 0)),
    )


def compute_losses(
    model: torch.nn.Module, batch: tuple[list[Tensor], list[dict]], generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the sum of the losses of Mask R-CNN, "loss", and each of them.

    The regions that it learns from are drawn from torch's global generator, which the training
    loop seeds at every step.
    """
    images, targets = batch
    # Mask R-CNN writes the resized boxes and masks into the dicts that it is given.
    losses = model([image.float() / 255 for image in images], [dict(each) for each in targets])
    parts = {name.removeprefix("loss_"): loss.detach() for name, loss in losses.items()}
    return {"loss": torch.stack(list(losses.values())).sum()} | parts


def _best_on_validation(
    out: Path, stage: Stage, val: LabelledSet, protocol: str, hardware: Hardware
) -> Path:
    """Score all snapshots; copy the best, the first of equals."""
    files = {step: out / stage.snapshot(step) for step in stage.snapshots}
    scores = {}
    for step, file in files.items():
        mean = score_detector(load_model(file), val, protocol, hardware).results["masks"]["mean"]
        scores[step] = mean["ap"] or 0.0
        say(f"after {step} steps: AP of masks {100 * scores[step]:.2f} on {val.name}")
    keep_best(out, files, "mask_ap", scores)
    return out / BEST_FILE


def _listed(data: LabelledSet) -> str:
    return ", ".join(data.instance_classes) or "no class"
