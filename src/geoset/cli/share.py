"""Commands that take what was trained elsewhere."""

from pathlib import Path
from typing import Literal

from geoset.cli.options import Run

Target = Literal["torchvision", "timm", "detectron2", "safetensors", "onnx", "hub"]


def export(
    run: Run,
    /,
    to: Target,
    out: Path | None = None,
    part: Literal["encoder", "whole"] | None = None,
    size: tuple[int, int] | None = None,
    license: str = "other",
) -> None:
    """Write a trained network for other libraries.

    With it comes a README.md that says how to load it there.

    --to:
        torchvision  state dict of one of its ResNets
        timm         weights of any of its models
        detectron2   ResNet as in its model zoo, and a config that fits it
        safetensors  tensors by name, and in the metadata what they are for
        onnx         graph for images of any size, compared with PyTorch's outputs
        hub          folder for Hugging Face with a model card; load_model reads it

    Examples:
        geoset export runs/first --to timm
        geoset export runs/segmenter --to onnx --part whole --out segmenter-onnx

    Args:
        run: folder of a run, or a file of weights
        to: for what, see above
        out: folder for the files; none = export/TO beside the weights
        part: what is written for safetensors and onnx; none = the encoder
        size: height and width in pixels of the only images an ONNX graph takes; none = any
        license: licence in the hub's model card, such as mit or cc-by-nc-4.0
    """
    from geoset.tasks.export import export as run_export

    run_export(run, to, out, part=part, size=size, license=license)
