"""Commands on labelled images."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from geoset.cli.options import Inline, value_of
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

Scale = Literal["full", "small"]


def segmentation(
    data: Annotated[DataSettings, Inline],
    out: Path,
    recipe: Literal["unet", "deeplabv3", "deeplabv3plus", "pspnet"] = "unet",
    scale: Scale = "full",
    settings: Annotated[SegmentationSettings, Inline] = SEGMENTATION_RECIPES["unet"],
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Fine-tune for semantic segmentation, and evaluate. No 3D data plays a part.

    Example: geoset finetune segmentation --data scannet_frames_25k --encoder runs/first --out seg

    Args:
        out: folder of the run: weights, log, results
        recipe: architecture, with the published schedule
        scale: small cuts it down to minutes on 2 cores; full leaves it as it is
        seed: the same seed gives the same weights
        resume: go on with the run in OUT
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
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Fine-tune Mask R-CNN for detection and instance segmentation, and evaluate.

    Example: geoset finetune instances --data scannet_frames_25k --encoder runs/first --out det

    Args:
        out: folder of the run: weights, log, results
        recipe: the published schedule for a data set
        scale: small cuts it down to minutes on 2 cores; full leaves it as it is
        seed: the same seed gives the same weights
        resume: go on with the run in OUT
    """
    from geoset.tasks.finetuned import finetune_instances as run

    run(data, out, settings, seed=seed, resume=resume, hardware=hardware)


def finetune() -> None:
    """Fine-tune on labelled images, and evaluate: geoset finetune segmentation|instances --help.

    Example: geoset finetune segmentation --data my_labels --encoder runs/first --out runs/seg
    """


def finetune_main(arguments: list[str]) -> None:
    """Read the rest of the line after `geoset finetune`."""
    small = value_of("--scale", arguments) == "small"
    recipe = value_of("--recipe", arguments)
    unet = SEGMENTATION_RECIPES.get(recipe, SEGMENTATION_RECIPES["unet"])
    mask = INSTANCE_RECIPES.get(recipe, INSTANCE_RECIPES["scannet"])
    tyro.extras.subcommand_cli_from_dict(
        {
            "segmentation": partial(
                segmentation, settings=segmentation_at_small_scale(unet) if small else unet
            ),
            "instances": partial(
                instances, settings=instances_at_small_scale(mask) if small else mask
            ),
        },
        prog="geoset finetune",
        description="Fine-tune on labelled images, and evaluate. No 3D data plays a part.",
        args=arguments,
    )


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    data: Path,
    split: Literal["val", "test", "train", "all"] = "val",
    split_list: Path | None = None,
    nyu_classes: Literal[13, 40] = 13,
    out: Path | None = None,
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
) -> None:
    """Score a fine-tuned network on labelled images: per class, as a table and as JSON.

    Example: geoset evaluate runs/seg --data scannet_frames_25k --split val

    Args:
        run: folder of a run, or a file of weights
        data: labelled images; the layout is detected
        split: which part of them
        split_list: scenes or images of the split, a name a line; none = the list beside the data
        nyu_classes: how many classes NYUv2's labels are mapped to
        out: where results go; none = evaluation beside the weights
    """
    from geoset.tasks.finetuned import evaluate_run

    evaluate_run(run, data, split, split_list, nyu_classes, out, hardware)


def compare(
    models: Annotated[Positional[list[str]], arg(metavar="MODELS...")],
    /,
    out: Path,
    scenes: tuple[str, ...] = (),
    frames: str = "every:5",
    data: Path | None = None,
    val_data: Path | None = None,
    layers: tuple[str, ...] = ("output",),
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Compare frozen networks: matches between views, and classes read off by simple probes.

    Without labels, on prepared scenes: how often the nearest feature of another view is the same
    point, by viewing angle. With labels: a linear layer and the nearest neighbours, as mIoU. Writes
    tables and pictures. Pre-train with --heldout-every 5 to have frames nobody trained on.

    Example: geoset compare scratch runs/first --scenes prepared --out comparison

    Args:
        models: run folders, files of weights, scratch, or imagenet
        out: folder for the results
        scenes: prepared scenes, or folders of them; also URLs
        frames: of the scenes: all, or every:5 for 0, 5, 10, ...
        data: labelled images: probes are fitted on the train split
        val_data: what they are scored on, if it lies elsewhere; none = the val split of DATA
        layers: output, decoder, encoder.1 to encoder.4
        seed: of what is drawn
        device: cpu or cuda
    """
    from geoset.tasks.finetuned import compare_frozen

    compare_frozen(models, out, data, val_data, scenes=scenes, frames=frames, layers=layers,
                   seed=seed, device=device)  # fmt: skip


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    images: Annotated[Positional[list[Path]], arg(metavar="IMAGES...")],
    /,
    out: Path,
    score_threshold: float = 0.5,
) -> None:
    """Apply a fine-tuned network to images: label maps or masks and boxes, and overlays.

    Example: geoset predict runs/seg my_images --out predictions

    Args:
        run: folder of a run, or a file of weights
        images: image files, or folders of them
        out: folder for the results
        score_threshold: instances less certain than this are left out
    """
    from geoset.tasks.finetuned import predict_images

    predict_images(run, images, out, score_threshold)
