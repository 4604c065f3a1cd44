"""Average precision of boxes and masks, by the COCO tools, and the files that those read.

Boxes are x1, y1, x2, y2 in pixels, edges at whole numbers: a mask of the pixel (0, 0) has the box
0, 0, 1, 1. COCO counts categories from 1; here a label k is class k, from 0.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Record = dict[str, Any]
"""One instance, as COCO's JSON holds it."""

MOST_DETECTIONS = 100  # of an image that count, as in COCO


class Detections(NamedTuple):
    """What was found in an image, most certain first.

    boxes: (K,4) float32
    labels: (K,) int64, index into the classes
    scores: (K,) float32 in 0..1
    masks: (K,H,W) bool
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


class AveragePrecision(NamedTuple):
    """Of one class, or the mean over classes, in 0..1.

    ap: mean over the IoU thresholds 0.50, 0.55 .. 0.95
    ap50, ap75: at IoU 0.50 and 0.75
    """

    ap: float
    ap50: float
    ap75: float


def truth_records(image: int, masks: np.ndarray, labels: np.ndarray) -> list[Record]:
    """Return the annotations of an image, without ids, which `coco_truth` gives them.

    image: its number; masks: (K,H,W) bool, none empty; labels: (K,)
    """
    found = []
    for mask, label in zip(masks, labels, strict=True):
        code = _encode(mask)
        found.append(
            {
                "image_id": image,
                "category_id": int(label) + 1,
                "segmentation": code,
                "area": int(rle.area(code)),
                "bbox": rle.toBbox(code).tolist(),
                "iscrowd": 0,
            }
        )
    return found


def detection_records(image: int, found: Detections) -> list[Record]:
    """Return the results of an image as COCO result files hold them; image: its number."""
    boxes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    return [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "segmentation": _encode(mask),
            "bbox": box.tolist(),
            "score": float(score),
        }
        for box, label, score, mask in zip(
            boxes, found.labels, found.scores, found.masks, strict=True
        )
    ]


def coco_truth(
    images: Sequence[Record], annotations: Sequence[Record], classes: Sequence[str]
) -> Record:
    """Return the content of a COCO ground truth file.

    images: of each its id, file_name, height and width
    annotations: of `truth_records`
    """
    return {
        "images": list(images),
        "annotations": [{"id": i} | record for i, record in enumerate(annotations, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
    }


def average_precision(
    truth: Record, detections: Sequence[Record], kind: Literal["bbox", "segm"]
) -> dict[str, AveragePrecision]:
    """Return the precision of boxes or masks by class name, absent where the truth has none.

    truth: of `coco_truth`; detections: of `detection_records`. The numbers are those of COCOeval
    for objects of all sizes, with at most 100 detections an image.
    """
    # The tools write into what they are given, and cannot load results that hold nothing.
    results = [
        {"id": i, "iscrowd": 0, "area": record["bbox"][2] * record["bbox"][3]} | record
        for i, record in enumerate(detections, 1)
    ]
    annotations = [dict(record) for record in truth["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _index(truth | {"annotations": annotations}),
            _index(truth | {"annotations": results}),
            kind,
        )
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 0].mean(axis=1)  # (thresholds, classes)
    return {
        category["name"]: AveragePrecision(*map(float, (column.mean(), column[0], column[5])))
        for category, column in zip(truth["categories"], precision.T, strict=True)
        if column[0] >= 0  # -1: the truth has no instance of the class
    }


def mean_precision(of_class: Mapping[str, AveragePrecision]) -> AveragePrecision:
    """Return the mean over the classes that occur; NaN if none does."""
    if not of_class:
        return AveragePrecision(*[float("nan")] * 3)
    return AveragePrecision(*np.mean(list(of_class.values()), axis=0).tolist())


def _encode(mask: np.ndarray) -> Record:
    """Return a mask (H,W) as run lengths, in text that JSON holds."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return code | {"counts": code["counts"].decode()}


def _index(content: Record) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco
