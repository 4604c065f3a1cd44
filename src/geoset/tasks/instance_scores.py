"""What a trained Mask R-CNN finds in images, and how much of it is right."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from geoset.data.label_batches import areas_of, shard
from geoset.data.label_set import LabelledSet
from geoset.data.loading import load
from geoset.errors import GeosetError
from geoset.evaluation.instances import (
    AveragePrecision,
    Detections,
    Record,
    average_precision,
    coco_truth,
    detection_records,
    mean_precision,
    truth_records,
)
from geoset.files import atomic_write
from geoset.models.detector import Detector
from geoset.models.load import load_model
from geoset.models.read import weights_of
from geoset.recipes import Hardware
from geoset.recipes.instances import PROTOCOLS, InstanceProtocol
from geoset.reports.tables import markdown_table, percent
from geoset.tasks.running import start_evaluation
from geoset.training.processes import end_processes, on_first

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RESULTS, TABLE, DETECTIONS, TRUTH = "results.json", "results.md", "detections.json", "truth.json"
KINDS = {"boxes": "bbox", "masks": "segm"}


def predict(
    detector: Detector, images: Iterable[np.ndarray], score_threshold: float = 0.5
) -> Iterator[Detections]:
    """Yield what is found in each image (H,W,3) uint8; labels index into `detector.classes`."""
    device = next(detector.parameters()).device
    detector.eval()
    for image in images:
        pixels = torch.tensor(image).to(device).permute(2, 0, 1)
        with torch.inference_mode():
            found = detector([pixels.float() / 255])[0]
            kept = found["scores"] >= score_threshold
            yield Detections(
                found["boxes"][kept].cpu().numpy(),
                found["labels"][kept].cpu().numpy() - 1,
                found["scores"][kept].cpu().numpy(),
                (found["masks"][kept, 0] >= 0.5).cpu().numpy(),
            )


def evaluate(
    model: Detector | Path,
    data: LabelledSet,
    out: Path,
    *,
    protocol: str | None = None,
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Score a detector, or the file or run folder of one, on `data`; return what `results.json` is.

    Writes into `out` results.json, the same as a table (results.md), and detections.json and
    truth.json, which the COCO tools read. Of a run folder, the weights are `best.safetensors` if
    there are any, or else `model.safetensors`. Several processes share the images, each read once.

    protocol: one of PROTOCOLS; None = that of the run, or strict where there is no run

    Raises:
        GeosetError: the model is no detector, or one of other classes; `data` has no instances; a
            file cannot be written.
    """
    hardware = hardware or Hardware()
    fabric = start_evaluation(hardware)
    if isinstance(model, Detector):
        detector, weights = model, None
    else:
        # The first process may just have written them.
        weights = on_first(fabric, lambda: weights_of(model))
        detector = load_model(weights)
    protocol = protocol or _protocol_of(model)
    scored = _score_shared(fabric, detector, data, protocol, hardware.workers)
    scored.results["weights"] = weights and weights.name
    on_first(fabric, lambda: _write(scored, out))
    end_processes(fabric)
    return scored.results


class Scored(NamedTuple):
    """The content of results.json, and of the files of COCO that it was found from."""

    results: dict[str, Any]
    truth: Record
    detections: list[Record]


def score_detector(
    detector: Detector, data: LabelledSet, protocol: str, hardware: Hardware
) -> Scored:
    """Score a detector on `data`; processes share the images.

    Raises:
        GeosetError: the model is no detector, or one of other classes; `data` has no instances.
    """
    fabric = start_evaluation(hardware)
    scored = _score_shared(fabric, detector, data, protocol, hardware.workers)
    end_processes(fabric)
    return scored


def _score_shared(
    fabric: "Fabric", detector: Detector, data: LabelledSet, protocol: str, workers: int
) -> Scored:
    _check(detector, data, protocol)
    rules = PROTOCOLS[protocol]
    mine = shard(len(data), fabric.global_rank, fabric.world_size)
    images = load(_Images(data, rules), mine, workers)
    looked = _gather(fabric, list(_look(detector.to(fabric.device), images, rules)))
    return on_first(fabric, lambda: _score(looked, data, protocol))


class _Looked(NamedTuple):
    """An image as COCO holds it: itself, what is there, what was found."""

    image: Record
    truth: list[Record]
    found: list[Record]


class _Images(Dataset):
    """Images (H,W,3) uint8, with what COCO's files say of them; None where one does not count."""

    def __init__(self, data: LabelledSet, rules: InstanceProtocol) -> None:
        self.data, self.rules = data, rules

    def __getitem__(self, i: int) -> tuple[np.ndarray, Record, list[Record]] | None:
        instances = self.data.instances(i)
        kept = areas_of(instances) >= max(1, self.rules.min_pixels)
        if self.rules.skip_empty and not kept.any():
            return None
        image = self.data.image(i)
        height, width = image.shape[:2]
        name = self.data.image_id(i)
        record = {"id": i, "file_name": name, "height": height, "width": width}
        return image, record, truth_records(i, instances.masks[kept], instances.labels[kept])


def _look(detector: Detector, images: Iterable[Any], rules: InstanceProtocol) -> Iterator[_Looked]:
    for item in images:
        if item is not None:
            image, record, truth = item
            (found,) = predict(detector, [image], rules.score_threshold)
            yield _Looked(record, truth, detection_records(record["id"], found))


def _gather(fabric: "Fabric", mine: list[_Looked]) -> list[_Looked]:
    """Return what all processes have looked at, in the order of the images."""
    if fabric.world_size == 1:
        return mine
    of_all = [[] for _ in range(fabric.world_size)]
    torch.distributed.all_gather_object(of_all, mine)
    return sorted((each for part in of_all for each in part), key=lambda each: each.image["id"])


def _score(looked: list[_Looked], data: LabelledSet, protocol: str) -> Scored:
    truth = coco_truth(
        [each.image for each in looked],
        [record for each in looked for record in each.truth],
        data.instance_classes,
    )
    found = [record for each in looked for record in each.found]
    rules = PROTOCOLS[protocol]
    results = {
        "task": "instances",
        "protocol": protocol,
        "score_threshold": rules.score_threshold,
        "min_pixels": rules.min_pixels,
        "data": data.name,
        "images": len(looked),
        "instances": len(truth["annotations"]),
        "detections": len(found),
    }
    for kind, kind_of_coco in KINDS.items():
        of_class = average_precision(truth, found, kind_of_coco)
        results[kind] = {
            "mean": _values(mean_precision(of_class)),
            "classes": {name: _values(value) for name, value in of_class.items()},
            "absent": [name for name in data.instance_classes if name not in of_class],
        }
    return Scored(results, truth, found)


def _write(scored: Scored, out: Path) -> None:
    text = table(scored.results)
    atomic_write(out / TRUTH, json.dumps(scored.truth))
    atomic_write(out / DETECTIONS, json.dumps(scored.detections))
    atomic_write(out / TABLE, text)
    atomic_write(out / RESULTS, json.dumps(scored.results, indent=2) + "\n")
    print(f"{text}\nresults: {out / RESULTS}", flush=True)


def table(results: Mapping[str, Any]) -> str:
    """Return the results of `evaluate` as Markdown, in per cent."""
    rows = {"mean": [results[kind]["mean"] for kind in KINDS]}
    for name in results["boxes"]["classes"]:
        rows[name] = [results[kind]["classes"][name] for kind in KINDS]
    lines = [
        f"Instances of {results['data']}, protocol {results['protocol']} (score "
        f"{results['score_threshold']:g} or more, {results['min_pixels']} pixels or more): "
        f"{results['images']} images, {results['instances']} instances, "
        f"{results['detections']} detections. In %:",
        "",
        markdown_table(
            ["", "box AP", "AP50", "AP75", "mask AP", "AP50", "AP75"],
            [
                [name, *(percent(value) for kind in kinds for value in kind.values())]
                for name, kinds in rows.items()
            ],
        ),
    ]
    absent = results["boxes"]["absent"]
    if absent:
        lines += ["", f"Without instances, and left out of the mean: {', '.join(absent)}."]
    return "\n".join(lines) + "\n"


def _values(precision: AveragePrecision) -> dict[str, float | None]:
    """Return them by name as JSON holds them, where a NaN has no place."""
    return {
        name: None if math.isnan(value) else value for name, value in precision._asdict().items()
    }


def _protocol_of(model: Detector | Path) -> str:
    """Return the protocol of the run that weights are of, or strict for those of no run."""
    if not isinstance(model, Path):
        return "strict"
    description = (model if model.is_dir() else model.parent) / "run.json"
    if not description.is_file():
        return "strict"
    settings = json.loads(description.read_text())["plan"]["settings"]
    return settings.get("instances", {}).get("protocol", "strict")


def _check(detector: Detector, data: LabelledSet, protocol: str) -> None:
    if not isinstance(detector, Detector):
        raise GeosetError(
            f"a {type(detector).__name__} finds no instances; evaluate the run of a Mask R-CNN "
            "(geoset finetune instances)"
        )
    if not data.instance_classes:
        raise GeosetError(f"{data.name} has no instances; evaluate on data that has them")
    if detector.classes != tuple(data.instance_classes):
        raise GeosetError(
            f"the detector finds {', '.join(detector.classes)}, but {data.name} has instances of "
            f"{', '.join(data.instance_classes)}; evaluate on data with the detector's classes"
        )
    if protocol not in PROTOCOLS:
        raise GeosetError(f"protocol is '{protocol}', expected one of {', '.join(PROTOCOLS)}")
