"""Fine-tuning, scoring and applying a network by the paths of data, run and images."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from geoset.data.label_resize import resized
from geoset.data.label_set import LabelSource
from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.models.detector import Detector
from geoset.models.load import load_model, network_config, usual_device
from geoset.models.read import weights_of
from geoset.models.segmenter import Segmenter
from geoset.recipes import DataSettings, Hardware, InstanceSettings, SegmentationSettings
from geoset.reports.class_colors import class_colors, paint_labels
from geoset.reports.figures import save_picture
from geoset.reports.predictions import draw_instances
from geoset.scans.decode import IMAGE_SUFFIXES, read_color, visible
from geoset.scans.splits import Split
from geoset.spacing import evenly_spaced
from geoset.tasks import instance_scores, instances, segmentation, segmentation_scores
from geoset.tasks.finetuning import open_train_and_val
from geoset.tasks.frozen import evaluate_frozen
from geoset.tasks.running import say

LOOKED_AT = 50  # label images that are searched for unknown ids before training


def finetune_segmentation(
    data: DataSettings, out: Path, settings: SegmentationSettings, **options: Any
) -> Path:
    """Fine-tune for semantic segmentation; `options` are those of `segmentation.finetune`.

    Raises:
        GeosetError: the images have labels of instances alone.
    """
    train, val = _train_and_val(data)
    if not train.classes:
        raise GeosetError(
            f"{data.data}: has boxes and masks of instances, and no class for each pixel; use "
            "geoset finetune instances, or data of another layout"
        )
    return segmentation.finetune(train, val, out, settings, **options)


def finetune_instances(
    data: DataSettings, out: Path, settings: InstanceSettings, **options: Any
) -> Path:
    """Fine-tune Mask R-CNN; `options` are those of `instances.finetune`."""
    return instances.finetune(*_train_and_val(data), out, settings, **options)


def _train_and_val(settings: DataSettings) -> tuple[LabelSource, LabelSource]:
    both = open_train_and_val(settings)
    for labelled in both:
        say(f"{labelled.name}: {len(labelled)} images")
        for reason, count in labelled.skipped.items():
            say(f"left out of {labelled.name}: {count} x {reason}")
        _say_unknown_ids(labelled)
    return both


def _say_unknown_ids(labelled: LabelSource) -> None:
    """Say which ids some of the label images have that are no class: their pixels are ignored."""
    pixels, looked_at = Counter(), evenly_spaced(len(labelled), LOOKED_AT)
    for i in looked_at:
        with suppress(GeosetError):  # one that cannot be read is told when it is needed
            pixels.update(labelled.unknown_ids(i))
    if pixels:
        ids = ", ".join(f"{number} ({count} pixels)" for number, count in pixels.most_common(5))
        say(
            f"ignored in {labelled.name}: {len(pixels)} ids that are no class, such as {ids}, in "
            f"the {len(looked_at)} label images that were looked at"
        )


def evaluate_run(
    run: Path,
    data: Path,
    split: Split = "val",
    split_list: Path | None = None,
    nyu_classes: int = 13,
    out: Path | None = None,
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Score a fine-tuned network on labelled images.

    run: folder of a run, or a file of weights
    data, split, split_list, nyu_classes: see `open_labelled`
    out: where results go; None is `evaluation` beside the weights

    Raises:
        GeosetError: the network is none that was fine-tuned, or has other classes; there are no
            labelled images.
    """
    labelled = open_labelled(data, split, split_file=split_list, nyu_classes=nyu_classes)
    weights = weights_of(run)
    out = out or weights.parent / "evaluation"
    scores = {"Segmenter": segmentation_scores, "Detector": instance_scores}
    found = scores.get(network_config(weights).get("model"))
    if found is None:
        raise _not_finetuned(weights)
    return found.evaluate(run, labelled, out, hardware=hardware)


def compare_frozen(
    models: Sequence[str],
    out: Path,
    data: Path | None = None,
    val_data: Path | None = None,
    size: tuple[int, int] | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    **options: Any,
) -> None:
    """Compare frozen networks, and print the tables; `options` are those of `evaluate_frozen`.

    data, val_data: labelled images for probes, as in DataSettings; None leaves the probes out
    size: (H,W) that they are brought to; None leaves them as they are
    accelerator: what the networks run on; auto is a GPU if there is one

    Raises:
        GeosetError: there is no GPU; images are described, but not given.
    """
    device = "cpu" if accelerator == "cpu" else usual_device()
    if accelerator == "gpu" and device == "cpu":
        raise GeosetError("there is no GPU that PyTorch can use; leave --accelerator gpu out")
    if data is None and (val_data or size):
        raise GeosetError("--val-data and --size are of the labelled images; give --data, too")
    train = val = None
    if data:
        train, val = _train_and_val(DataSettings(data, val_data))
        if size:
            train, val = resized(train, size), resized(val, size)
    named = {name: name for name in models}
    evaluate_frozen(named, out, train=train, test=val, device=device, **options)
    say((out / "results.md").read_text())
    say(f"results: {out}")


def predict_images(
    run: Path, images: Sequence[Path], out: Path, score_threshold: float = 0.5
) -> None:
    """Apply a fine-tuned network to images, and write what it finds.

    Of a segmentation network NAME.labels.png (16 bit: k is line k of `classes.txt`, 0 = none), of
    Mask R-CNN NAME.json (class, score and box of each instance) and NAME.instances.png (16 bit: k
    is the k-th of them, the surest on top); of both NAME.overlay.jpg.

    Raises:
        GeosetError: there is no image, or none that can be read; the network is none that was
            fine-tuned; `out` has results of other classes. An image among others that cannot be
            read is left out and named.
    """
    network, paths = load_model(weights_of(run)), _images(images)
    if not isinstance(network, Segmenter | Detector):
        raise _not_finetuned(weights_of(run))
    network = network.to(usual_device())
    classes, text = out / "classes.txt", "".join(f"{name}\n" for name in network.classes)
    if classes.is_file() and classes.read_bytes() != text.encode():
        raise GeosetError(f"{classes}: names other classes than {run} has; choose another --out")
    atomic_write(classes, text)
    colors, unreadable = class_colors(network.classes), []
    for path in paths:
        try:
            image = read_color(path)
        except GeosetError as error:
            unreadable.append(str(error))
            continue
        if isinstance(network, Segmenter):
            (labels,) = segmentation_scores.predict(network, [image])
            numbers = Image.fromarray((labels + 1).astype(np.uint16))
            save_picture(numbers, out / f"{path.stem}.labels.png")
            overlay = paint_labels(labels, colors, image)
        else:
            (found,) = instance_scores.predict(network, [image], score_threshold)
            overlay = _save_instances(out / path.stem, image, found, network.classes)
        save_picture(Image.fromarray(overlay), out / f"{path.stem}.overlay.jpg")
    if len(unreadable) == len(paths):
        raise GeosetError(f"no image can be read: {'; '.join(unreadable)}")
    say(f"{len(paths) - len(unreadable)} images: {out}")
    for reason in unreadable:
        say(f"left out: {reason}")


def _save_instances(
    stem: Path, image: np.ndarray, found: Any, classes: Sequence[str]
) -> np.ndarray:
    """Write what was found, and return it drawn over the image."""
    numbers = np.zeros(image.shape[:2], np.uint16)
    for k in np.argsort(found.scores):
        numbers[found.masks[k]] = k + 1
    save_picture(Image.fromarray(numbers), stem.with_name(f"{stem.name}.instances.png"))
    things = [
        {"class": classes[label], "score": round(float(score), 4), "box": box.round(1).tolist()}
        for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
    ]
    atomic_write(stem.with_name(f"{stem.name}.json"), json.dumps(things, indent=1))
    return draw_instances(
        image, found.labels, classes, boxes=found.boxes, masks=found.masks, scores=found.scores
    )


def _images(paths: Sequence[Path]) -> list[Path]:
    found = []
    for path in paths:
        if not path.exists():
            raise GeosetError(f"{path}: does not exist; give images, or folders of them")
        if path.is_dir():
            found += visible(path, *IMAGE_SUFFIXES)
        else:  # whatever it ends in: one that cannot be read is named, not passed over
            found.append(path)
    if not found:
        raise GeosetError(
            f"{', '.join(map(str, paths))}: no image; expected files that end in "
            f"{', '.join(IMAGE_SUFFIXES)}, or folders of them"
        )
    (twice, times), *_ = Counter(path.stem for path in found).most_common(1)
    if times > 1:
        raise GeosetError(
            f"two images are called '{twice}', and so would be their results; predict the folders "
            "one by one, each into an --out of its own"
        )
    return found


def _not_finetuned(weights: Path) -> GeosetError:
    return GeosetError(
        f"{weights}: is no network that was fine-tuned for segmentation or instances; make one "
        "with: geoset finetune segmentation --data LABELS --encoder " + str(weights)
    )
