"""Fine-tune Mask R-CNN on labelled images, and say what it finds in others."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor

from geoset.data.label_batches import InstanceBatches
from geoset.data.label_set import LabelledSet
from geoset.data.pairs import batches_from
from geoset.errors import GeosetError
from geoset.models.detector import Detector
from geoset.models.encoder import RESNETS
from geoset.models.initial import load_encoder
from geoset.models.load import save_model
from geoset.recipes import Hardware
from geoset.recipes.instances import PROTOCOLS, InstanceSettings
from geoset.reports.charts import draw_curves
from geoset.tasks.instance_scores import evaluate
from geoset.training.log import read_log
from geoset.training.loop import train
from geoset.training.stage import Stage

CURVES = "curves.png"


@rank_zero_only
def _say(text: str) -> None:
    """Print a line, whatever the number of processes that get here."""
    print(text, flush=True)


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

    The last weights count, by either protocol. Results are those of `evaluate`, in `out`. The
    weights are a function of (settings, data, seed, number of devices); a run that was stopped
    continues with `resume`, and on a CPU with as many threads ends with the same weights, bitwise.

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
    detector, report = build_detector(data.instance_classes, settings, seed)
    _say(report)
    ranks = hardware.devices * hardware.nodes
    weights = train(
        detector,
        stages_of(data, settings, seed, ranks=ranks, workers=hardware.workers),
        out,
        settings={"instances": asdict(settings), "data": _contents(data)},
        seed=seed,
        save_weights=save_model,
        resume=resume,
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=settings.precision,
        accumulate=settings.accumulate,
        compile=hardware.compile,
        all_used=True,
        checkpoint_seconds=hardware.checkpoint_seconds,
        draw=lambda run: draw_curves(read_log(run), run / CURVES),
    )
    _say(f"weights: {weights}\ncurves:  {out / CURVES}")
    evaluate(weights, val, out, protocol=settings.protocol, hardware=hardware)
    return weights


def build_detector(
    classes: tuple[str, ...], settings: InstanceSettings, seed: int
) -> tuple[Detector, str]:
    """Return the network as it is before the first step, and a line on its weights."""
    torch.manual_seed(seed)
    pretrained = settings.weights != "scratch"
    detector = Detector(
        settings.encoder,
        classes,
        settings.width,
        frozen=settings.freeze and pretrained and settings.encoder in RESNETS,
        sizes=settings.sizes,
        max_size=settings.max_size,
        regions=settings.regions,
    )
    report = load_encoder(detector.encoder, settings.weights)
    return detector, report


def stages_of(
    data: LabelledSet, settings: InstanceSettings, seed: int, *, ranks: int = 1, workers: int = 0
) -> list[Stage]:
    """Return what the engine is to do: one stage for each learning rate."""
    batches = InstanceBatches(
        data,
        settings.batch,
        seed,
        parts=ranks * settings.accumulate,
        flip=settings.flip,
        min_pixels=PROTOCOLS[settings.protocol].min_pixels,
    )
    left_out = [f"{count} x {reason}" for reason, count in batches.dropped.items() if count]
    _say(
        f"{data.name}: {len(batches.images)} images, {batches.steps_per_epoch} steps an epoch"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    starts, stages = settings.starts, []
    for index, (start, end) in enumerate(zip(starts, (*starts[1:], settings.steps), strict=True)):
        optimizer = replace(settings.optimizer, lr=settings.optimizer.lr / 10**index)
        stages.append(
            Stage(
                name=f"rate{index + 1}",
                steps=end - start,
                optimizer=replace(optimizer, warmup=0) if index else optimizer,
                batches=partial(_load, batches, start, end, workers),
                compute=compute_losses,
                frames_per_batch=settings.batch // batches.parts,
            )
        )
    return stages


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


def _load(
    batches: InstanceBatches, start: int, end: int, workers: int, first: int, rank: int, ranks: int
) -> Iterator[Any]:
    return batches_from(batches, start + first, end, rank, ranks, workers)


def _listed(data: LabelledSet) -> str:
    return ", ".join(data.instance_classes) or "no class"


def _contents(data: LabelledSet) -> dict[str, Any]:
    """Return what identifies the training images, without reading them."""
    names = "\n".join(data.image_id(i) for i in range(len(data)))
    return {
        "name": data.name,
        "images": len(data),
        "sha256": hashlib.sha256(names.encode()).hexdigest(),
        "classes": list(data.instance_classes),
    }
