"""What a segmentation network sees in images, and how much of it is right."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from geoset.data.label_batches import EvaluationBatches
from geoset.data.label_set import LabelledSet
from geoset.data.loading import load
from geoset.errors import GeosetError
from geoset.evaluation.segmentation import SegmentationScore, confusion_matrix, score
from geoset.files import atomic_write
from geoset.models.load import load_model
from geoset.models.read import weights_of
from geoset.models.segmenter import Segmenter
from geoset.recipes import Hardware
from geoset.recipes.segmentation import PROTOCOLS
from geoset.reports.tables import markdown_table, percent
from geoset.tasks.running import start_evaluation
from geoset.training.processes import end_processes, on_first

RESULTS, TABLE = "results.json", "results.md"
BATCH = 8  # images


def predict(network: Segmenter, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the label of each pixel of images (H,W,3) uint8: (H,W) int64, -1 = void.

    The network sees each image whole, at the scale that training crops from; of an upright one, at
    that of its size turned. The scores are brought back to the size of the image.
    """
    device = next(network.parameters()).device
    network.eval()
    for image in images:
        height, width = image.shape[:2]
        pixels = torch.tensor(image).to(device).permute(2, 0, 1)[None]
        scale = _scale(network.size, (height, width)) if network.size else 1.0
        size = round(height * scale), round(width * scale)
        with torch.inference_mode():
            pixels = F.interpolate(pixels.float() / 255, size, mode="bilinear", antialias=True)
            scores = F.interpolate(network(pixels), (height, width), mode="bilinear")
            yield network.labels_of(scores)[0].cpu().numpy()


def _scale(size: tuple[int, int], image: tuple[int, int]) -> float:
    """Return what brings the sides of an image to those of `size`, or beyond, short to short."""
    return max(side / of_image for side, of_image in zip(sorted(size), sorted(image), strict=True))


def evaluate(
    model: Segmenter | Path,
    data: LabelledSet,
    out: Path,
    *,
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Score a network, or the file or run folder of one, on `data`; return what `results.json` is.

    Writes into `out` results.json and the same as a table, results.md. Of a run folder, the weights
    are `best.safetensors` if there are any, or else `model.safetensors`. The protocol is that of
    the training: pri3d if the network predicts void, or else strict. Images have the size of the
    training. Several processes share them, each read once.

    Raises:
        GeosetError: the model is none for segmentation, or has other classes than `data`; a file
            cannot be written.
    """
    hardware = hardware or Hardware()
    fabric = start_evaluation(hardware)
    if isinstance(model, Segmenter):
        network, source = model, None
    else:
        # The first process may just have written them.
        source = on_first(fabric, lambda: weights_of(model))
        network = load_model(source)
    found = score_network(network, data, hardware)
    results = on_first(fabric, lambda: _write(found, network, source, data, out))
    end_processes(fabric)
    return results


class Scored(NamedTuple):
    """A confusion matrix (C,C) int64 on the CPU, rows the truth, and the scores it gives."""

    confusion: Tensor
    score: SegmentationScore


def score_network(network: Segmenter, data: LabelledSet, hardware: Hardware) -> Scored:
    """Score a network on `data`, by the protocol that it was trained for; processes share images.

    Raises:
        GeosetError: the network is none for segmentation, or has other classes than `data`.
    """
    _check(network, data)
    fabric = start_evaluation(hardware)
    batches = EvaluationBatches(
        data, BATCH, fabric.global_rank, fabric.world_size, size=network.size
    )
    on_gpu = fabric.device.type == "cuda"
    loaded = load(batches, range(len(batches)), hardware.workers, pin=on_gpu)
    network = network.to(fabric.device, memory_format=torch.channels_last)
    confusion = count_pixels(network, loaded)
    confusion = fabric.all_reduce(confusion, reduce_op="sum").cpu()
    end_processes(fabric)
    rules = PROTOCOLS[_protocol(network)]
    return Scored(confusion, score(confusion, data.classes, absent_as_zero=rules.absent_as_zero))


@torch.inference_mode()
def count_pixels(network: Segmenter, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the confusion matrix over batches of images (B,3,H,W) uint8 and labels (B,H,W).

    Does not wait for the network's device, where the batches lie in pinned memory.
    """
    device, classes = next(network.parameters()).device, len(network.classes)
    network.eval()
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    for images, labels in batches:
        images, labels = (x.to(device, non_blocking=True) for x in (images, labels))
        images = (images.float() / 255).contiguous(memory_format=torch.channels_last)
        confusion += confusion_matrix(network.labels_of(network(images)), labels, classes)
    return confusion


def table(results: Mapping[str, Any]) -> str:
    """Return the results of `evaluate` as Markdown, in per cent."""
    size = "x".join(map(str, results["size"])) if results["size"] else "their own size"
    confusion = np.array(results["confusion"])
    total = max(1, confusion.sum())
    rows = [["mean", percent(results["mean_iou"]), "", ""]]
    for k, name in enumerate(results["classes"]):
        truth, predicted = confusion[k].sum() / total, confusion[:, k].sum() / total
        rows.append([name, *map(percent, (results["iou"].get(name), truth, predicted))])
    lines = [
        f"Segmentation of {results['data']}, protocol {results['protocol']}: {results['images']} "
        f"images at {size}, pixel accuracy {100 * results['pixel_accuracy']:.1f}. In %:",
        "",
        markdown_table(["class", "IoU", "of the truth", "of the predictions"], rows),
    ]
    if results["absent"]:
        how = "an IoU of 0" if PROTOCOLS[results["protocol"]].absent_as_zero else "left out"
        absent = ", ".join(results["absent"])
        lines += ["", f"Neither there nor predicted, in the mean {how}: {absent}."]
    return "\n".join(lines) + "\n"


def _write(
    found: Scored, network: Segmenter, source: Path | None, data: LabelledSet, out: Path
) -> dict[str, Any]:
    mean = found.score.mean_iou()
    results = {
        "task": "segmentation",
        "protocol": _protocol(network),
        "data": data.name,
        "images": len(data),
        "size": network.size and list(network.size),
        "weights": source and source.name,
        "mean_iou": None if mean != mean else mean,  # JSON has no NaN
        "pixel_accuracy": found.score.pixel_accuracy,
        "classes": list(data.classes),
        "iou": found.score.iou,
        "absent": list(found.score.absent),
        "confusion": found.confusion.tolist(),
    }
    text = table(results)
    atomic_write(out / TABLE, text)
    atomic_write(out / RESULTS, json.dumps(results, indent=2) + "\n")
    print(f"{text}\nresults: {out / RESULTS}", flush=True)
    return results


def _protocol(network: Segmenter) -> str:
    return next(name for name, rules in PROTOCOLS.items() if rules.void == network.void)


def _check(network: Segmenter, data: LabelledSet) -> None:
    if not isinstance(network, Segmenter):
        raise GeosetError(
            f"a {type(network).__name__} gives pixels no classes; evaluate the run of a "
            "segmentation network (geoset finetune segmentation)"
        )
    if network.classes != tuple(data.classes):
        raise GeosetError(
            f"the network knows the classes {', '.join(network.classes)}, but {data.name} has "
            f"{', '.join(data.classes) or 'none'}; evaluate on data with the network's classes"
        )
