"""Commands that take what was trained elsewhere."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Target = Literal["torchvision", "timm", "detectron2", "safetensors", "onnx", "hub"]


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    to: Target,
    out: Path | None = None,
    part: Literal["encoder", "whole"] | None = None,
    size: tuple[int, int] | None = None,
    license: str = "other",
) -> None:
    """Write a trained network for other libraries, with a README.md that says how to load it.

    torchvision: a state dict of one of its ResNets.

    timm: the weights of any of its models.

    detectron2: a ResNet as in its model zoo, and a config that fits it.

    safetensors: tensors by name, and in the metadata what they are for.

    onnx: a graph for images of any size, compared with PyTorch before it is written.

    hub: a folder for Hugging Face, with a model card; geoset.load_model loads it.

    Example: geoset export runs/first --to timm

    Example: geoset export runs/segmenter --to onnx --part whole --out segmenter-onnx

    Args:
        run: folder of a run, or a file of weights
        to: for what, see above
        out: folder for the files; none = export/TO beside the weights
        part: of safetensors and onnx: the encoder (none) or the whole network
        size: height and width in pixels, for an ONNX graph of this one size; none = any
        license: of the model card for the hub, such as mit or cc-by-nc-4.0
    """
    from geoset.tasks.export import export as run_export

    run_export(run, to, out, part=part, size=size, license=license)
