"""Commands on labelled images."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from geoset.cli.options import REQUIRED, Inline, Resume, Run, Scale, Seed, value_of
from geoset.recipes import (
    INSTANCE_RECIPES,
    SEGMENTATION_RECIPES,
    DataSettings,
    Hardware,
    InstanceSettings,
    SegmentationSettings,
    instances_at_small_scale,
    segmentation_at_small_scale,
)
from geoset.recipes.length import in_epochs


def segmentation(
    data: Annotated[DataSettings, Inline],
    out: Path,
    recipe: Literal["unet", "deeplabv3", "deeplabv3plus", "pspnet"] = "unet",
    scale: Scale = "full",
    settings: Annotated[SegmentationSettings, Inline] = SEGMENTATION_RECIPES["unet"],
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Fine-tune for semantic segmentation: a class a pixel.

    Ends with an evaluation. No 3D data plays a part.

    Recipes, as published; the defaults below are those of the recipe, and can be changed:
        unet           the pre-trained network with a new last layer, 80 epochs
        deeplabv3      DeepLabV3 on its encoder, 50,000 steps
        deeplabv3plus  DeepLabV3+ on its encoder, 50,000 steps
        pspnet         PSPNet on its encoder, 50 epochs

    Protocols:
        strict  the last weights; a class neither there nor predicted is left out
        pri3d   as published: the best snapshot on the validation data; it counts 0

    Examples:
        geoset finetune segmentation --data my_labels --encoder runs/first --out seg
        geoset finetune segmentation --data nyu_depth_v2_labeled.mat --out nyu
        geoset finetune segmentation --data my_labels --scale small --out try
        geoset finetune segmentation --recipe pspnet --help

    Args:
        out: folder of the run: weights, log, results
        recipe: architecture and schedule, see above
    """
    from geoset.tasks.finetuned import finetune_segmentation as run

    run(data, out, settings, seed=seed, resume=resume, hardware=hardware)


def instances(
    data: Annotated[DataSettings, Inline],
    out: Path,
    recipe: Literal["scannet", "nyuv2"] = "scannet",
    scale: Scale = "full",
    settings: Annotated[InstanceSettings, Inline] = INSTANCE_RECIPES["scannet"],
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Fine-tune Mask R-CNN: a box and a mask for each thing.

    Ends with an evaluation. No 3D data plays a part.

    Recipes, as published; the defaults below are those of the recipe, and can be changed:
        scannet  90,000 steps of 16 images
        nyuv2    90,000 steps of 2 images

    Protocols:
        strict  the last weights; all instances; detections of certainty from 0.05
        pri3d   as published: the best snapshot on the validation data; instances of
                1000 pixels or more; detections of certainty from 0.5

    Examples:
        geoset finetune instances --data coco_folder --encoder runs/first --out det
        geoset finetune instances --data coco_folder --scale small --out try
        geoset finetune instances --recipe nyuv2 --help

    Args:
        out: folder of the run: weights, log, results
        recipe: schedule for a data set, see above
    """
    from geoset.tasks.finetuned import finetune_instances as run

    run(data, out, settings, seed=seed, resume=resume, hardware=hardware)


def finetune() -> None:
    """Fine-tune for segmentation or instances, on labelled images."""


def chosen_segmentation(arguments: list[str]) -> partial:
    """Find the recipe before parsing, so that its values are the defaults that help shows."""
    settings = SEGMENTATION_RECIPES.get(
        value_of("--recipe", arguments), SEGMENTATION_RECIPES["unet"]
    )
    if value_of("--scale", arguments) == "small":
        encoder = value_of("--encoder", arguments) or "scratch"
        settings = segmentation_at_small_scale(settings, encoder=encoder)
    if value_of("--epochs", arguments):
        settings = in_epochs(settings)
    return partial(segmentation, settings=settings)


def chosen_instances(arguments: list[str]) -> partial:
    """Find the recipe before parsing, as above."""
    settings = INSTANCE_RECIPES.get(value_of("--recipe", arguments), INSTANCE_RECIPES["scannet"])
    if value_of("--scale", arguments) == "small":
        settings = instances_at_small_scale(settings)
    return partial(instances, settings=settings)


def evaluate(
    run: Run,
    /,
    data: Path,
    split: Literal["val", "test", "train", "all"] = "val",
    split_list: Path | None = None,
    nyu_classes: Literal[13, 40] = 13,
    out: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    workers: int = 1,
) -> None:
    """Score a fine-tuned network on labelled images, class by class.

    Prints a table, and writes it as Markdown and JSON.

    Examples:
        geoset evaluate runs/seg --data my_labels
        geoset evaluate runs/seg --data scannet_frames_25k --split val --out scores

    Args:
        run: folder of a run, or a file of weights
        data: labelled images; the layout is detected
        split: which part of the images
        split_list: file that names scenes or images, one a line; none = the list beside DATA
        nyu_classes: how many classes NYUv2's labels are mapped to
        out: folder for the results; none = evaluation beside the weights
        accelerator: cpu, gpu or auto, which is a GPU if there is one
        devices: how many of them
        workers: processes that load data, for each device
    """
    from geoset.tasks.finetuned import evaluate_run

    hardware = Hardware(accelerator, devices, workers=workers)
    evaluate_run(run, data, split, split_list, nyu_classes, out, hardware)


def compare(
    models: Annotated[Positional[list[str]], arg(metavar="MODELS...", help_behavior_hint=REQUIRED)],
    /,
    out: Path,
    scenes: tuple[str, ...] = (),
    frames: str = "every:5",
    data: Path | None = None,
    val_data: Path | None = None,
    size: tuple[int, int] | None = None,
    layers: tuple[str, ...] = ("output",),
    seed: int = 0,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
) -> None:
    """Compare frozen networks, by matches between views and by probes.

    Without labels, on prepared scenes: how often the nearest feature of another view is the same
    point, by the angle between the views. With labels: a linear layer and the nearest neighbours,
    as mIoU. Writes tables and pictures. To have frames that no run was trained on, pre-train with
    --heldout-every 5.

    Examples:
        geoset compare scratch runs/first --scenes prepared --out comparison
        geoset compare runs/first --data my_labels --size 240 320 --out probes

    Args:
        models: run folders, files of weights, scratch, or imagenet
        out: folder for the results
        scenes: prepared scenes, or folders of them; also URLs
        frames: which frames of the scenes: all, or every:5 for 0, 5, 10, ...
        data: labelled images: probes are fitted on the train split
        val_data: what probes are scored on, if it lies elsewhere: all of it
        size: height and width that labelled images are scaled to cover; none = as they are
        layers: whose features: output, decoder, encoder.1 to encoder.4
        seed: of the network that scratch is, and of what is drawn
        accelerator: cpu, gpu or auto, which is a GPU if there is one
    """
    from geoset.tasks.finetuned import compare_frozen

    compare_frozen(models, out, data, val_data, size, scenes=scenes, frames=frames, layers=layers,
                   seed=seed, accelerator=accelerator)  # fmt: skip


def predict(
    run: Run,
    images: Annotated[
        Positional[list[Path]], arg(metavar="IMAGES...", help_behavior_hint=REQUIRED)
    ],
    /,
    out: Path,
    score_threshold: float = 0.5,
) -> None:
    """Apply a fine-tuned network to images: labels, masks, boxes.

    Of an image NAME, a network for segmentation gives NAME.labels.png (value k is line k of
    classes.txt, 0 is none), Mask R-CNN NAME.instances.png and NAME.json; both give
    NAME.overlay.jpg to look at.

    Examples:
        geoset predict runs/seg my_images --out predictions
        geoset predict runs/det office.jpg --score-threshold 0.7 --out found

    Args:
        run: folder of a run, or a file of weights
        images: image files, or folders of them
        out: folder for the results
        score_threshold: instances less certain than this, of 0.05 to 1, are left out
    """
    from geoset.tasks.finetuned import predict_images

    predict_images(run, images, out, score_threshold)
