"""Fine-tune a network for semantic segmentation on labelled images."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoset.data.label_batches import SegmentationBatches
from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError
from geoset.models.encoder import RESNETS
from geoset.models.initial import load_encoder, load_initial
from geoset.models.load import load_model, save_model
from geoset.models.read import BEST_FILE
from geoset.models.segmenter import Segmenter
from geoset.recipes import Hardware
from geoset.recipes.length import steps_of
from geoset.recipes.segmentation import PROTOCOLS, SegmentationSettings
from geoset.tasks.finetuning import (
    contents,
    keep_best,
    snapshot_steps,
    with_network_of_weights,
)
from geoset.tasks.running import CURVES, load_stage, run_stages, say
from geoset.tasks.segmentation_scores import evaluate, score_network
from geoset.training.stage import Stage


def finetune(
    data: LabelledSet,
    val: LabelledSet,
    out: Path,
    settings: SegmentationSettings,
    *,
    seed: int = 0,
    resume: bool = False,
    hardware: Hardware | None = None,
) -> Path:
    """Train a segmentation network on `data`, evaluate it on `val`; return the path of its weights.

    The last weights count (`model.safetensors`), or by protocol pri3d the best on `val` of
    `snapshots` along the way (`best.safetensors`; all in `validation.json`). Results are those of
    `evaluate`, in `out`. The weights are a function of (settings, data, seed, number of devices);
    a run that was stopped continues with `resume`, and on a CPU with as many threads ends with the
    same weights, bitwise.

    Raises:
        GeosetError: `val` has other classes than `data`; weights do not fit; a run in `out` that
            `resume` does not fit; a loss that is not finite; too few images a step for DeepLab.
    """
    hardware = hardware or Hardware()
    if data.classes != val.classes:
        raise GeosetError(
            f"{data.name} has the classes {', '.join(data.classes)}, but {val.name} has "
            f"{', '.join(val.classes)}; train and evaluate on data with the same classes"
        )
    settings = with_network_of_weights(settings)
    network, report = build_segmenter(data.classes, settings, seed)
    say(report)
    ranks = hardware.devices * hardware.nodes
    stage = stage_of(data, settings, seed, ranks=ranks, workers=hardware.workers)
    weights = run_stages(
        network,
        [stage],
        out,
        hardware,
        settings={"segmentation": asdict(settings), "data": contents(data, data.classes)},
        seed=seed,
        save_weights=save_model,
        resume=resume,
        precision=settings.precision,
        # Of other backbones some do not use all of themselves for the coarser maps (HRNet).
        all_used=settings.backbone in RESNETS,
    )
    if stage.snapshots:
        weights = _best_on_validation(out, stage, val, hardware)
    say(f"weights: {weights}\ncurves:  {out / CURVES}")
    evaluate(out, val, out, hardware=hardware)
    return weights


def build_segmenter(
    classes: tuple[str, ...], settings: SegmentationSettings, seed: int
) -> tuple[Segmenter, str]:
    """Return the network as it is before the first step, and a line on its weights.

    A U-Net takes encoder and decoder, other architectures the encoder alone.
    """
    torch.manual_seed(seed)
    network = Segmenter(
        settings.architecture,
        settings.backbone,
        classes,
        settings.width,
        void=PROTOCOLS[settings.protocol].void,
        out_channels=settings.out_channels,
        size=settings.size,
    )
    if settings.architecture == "unet":
        report = load_initial(network, settings.encoder)
    else:
        report = load_encoder(network.encoder, settings.encoder)
    # Convolutions in this memory layout are 1.1 to 1.4 times as fast on a CPU.
    return network.to(memory_format=torch.channels_last), report


def stage_of(
    data: LabelledSet,
    settings: SegmentationSettings,
    seed: int,
    *,
    ranks: int = 1,
    workers: int = 0,
) -> Stage:
    """Return what the engine is to do, shared by `ranks` processes."""
    batches = SegmentationBatches(
        data,
        settings.batch,
        seed,
        parts=ranks,
        augmentation=settings.augmentation,
        size=settings.size,
    )
    images = settings.batch // ranks
    if images < 2 and settings.architecture.startswith("deeplab"):
        raise GeosetError(
            f"batch is {settings.batch} for {ranks} devices; {settings.architecture} needs 2 or "
            "more images on each, because it normalises one value an image over them"
        )
    steps = steps_of(settings, batches.steps_per_epoch)
    say(
        f"{data.name}: {len(data)} images of {len(data.classes)} classes, "
        f"{batches.steps_per_epoch} steps an epoch; {steps} steps"
    )
    protocol = PROTOCOLS[settings.protocol]
    return Stage(
        name="segmentation",
        steps=steps,
        optimizer=settings.optimizer,
        batches=partial(load_stage, batches, 0, steps, workers),
        compute=partial(compute_losses, protocol.void, settings.auxiliary_weight),
        frames_per_batch=images,
        lr_factors={"encoder.": settings.encoder_lr_factor},
        snapshots=tuple(snapshot_steps(steps, settings.snapshots if protocol.best else 0)),
    )


def compute_losses(
    void: bool,
    auxiliary_weight: float,
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the cross-entropy over the labelled pixels of a batch, "loss", and what to log.

    void: pixels without a label are of a class of their own, the first
    auxiliary_weight: of the same loss of the auxiliary head
    """
    images, labels = batch
    images = (images.float() / 255).contiguous(memory_format=torch.channels_last)
    scores = model(images, auxiliary=True)
    labels = labels + void
    losses = [label_loss(each, labels) for each in scores]
    right = (scores[0].detach().argmax(dim=1) == labels).sum()
    labelled = (labels >= 0).sum()
    return {
        "loss": losses[0] + auxiliary_weight * sum(losses[1:]),
        "accuracy": right / labelled.clamp(min=1),
        "labelled": labelled / labels.numel(),
    }


def label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of scores (B,K,H,W) over the pixels with a label.

    labels: (B,H,W) int64, -1 = ignored; where all are, the loss is 0, with gradients of 0
    """
    # In 16 bits a sum over a batch overflows, or is rounded to three digits.
    total = F.cross_entropy(scores.float(), labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def _best_on_validation(out: Path, stage: Stage, val: LabelledSet, hardware: Hardware) -> Path:
    """Score all snapshots; copy the best, the first of equals."""
    files = {step: out / stage.snapshot(step) for step in stage.snapshots}
    scores = {}
    for step, file in files.items():
        scores[step] = score_network(load_model(file), val, hardware).score.mean_iou()
        say(f"after {step} steps: mean IoU {100 * scores[step]:.2f} on {val.name}")
    keep_best(out, files, "mean_iou", scores)
    return out / BEST_FILE
