"""Networks as ONNX graphs, compared with PyTorch before anyone gets them."""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from geoset.errors import GeosetError
from geoset.export.description import describe
from geoset.files import atomic_path
from geoset.models.detector import Detector
from geoset.models.image_network import map_names
from geoset.models.segmenter import Segmenter

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
SMALLEST = 32  # pixels of a side, in graphs for images of any size
TOLERANCE = 1e-4  # of the largest value
DRAWN_SIZE = (96, 128)
CHECKED_SIZES = ((96, 128), (70, 150))

USAGE = """\
```python
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
names = [output.name for output in session.get_outputs()]  # {names}
{result} = dict(zip(names, session.run(None, {{"images": images}})))
```

`images`: RGB in 0..1, NumPy float32, {shape}; mean and standard deviation are applied inside.
{meaning}"""


def export_onnx(
    network: nn.Module, out: Path, whole: bool, size: tuple[int, int] | None = None
) -> str:
    """Write `model.onnx`, or of the encoder alone `encoder.onnx`, into the folder `out`.

    The input `images` is (B,3,H,W), RGB in 0..1. Outputs: the encoder's maps by name; of a whole
    network `features` or, of a segmentation network, `scores`. Metadata hold `describe` as JSON,
    under `geoset`, with the `outputs` and the `classes` of scores.

    size: (H,W) of images, to be the only one; None = any from 32 pixels on

    Raises:
        GeosetError: a package is missing; the network has no such graph; its results differ from
            those of PyTorch, and nothing was written.
    """
    _check(network, whole, size)
    facts = describe(network)
    if not whole:
        facts["outputs"] = map_names(network.encoder)
    elif isinstance(network, Segmenter):
        facts |= {"outputs": ["scores"], "classes": ["void"] * network.void + [*network.classes]}
    else:
        facts["outputs"] = ["features"]
    graph = (network if whole else _Encoder(network)).eval()
    program = _program(graph, facts["outputs"], size)
    program.model.metadata_props["geoset"] = json.dumps(facts)
    file = "model.onnx" if whole else "encoder.onnx"
    with atomic_path(out / file) as temporary:
        program.save(temporary, external_data=False)
        _compare(graph, temporary, size)
    classes = ", ".join(facts.get("classes", ()))
    return USAGE.format(
        file=file,
        names=", ".join(facts["outputs"]),
        result="outputs" if whole else "maps",
        shape=f"(B,3,{size[0]},{size[1]})" if size else f"(B,3,H,W), H and W from {SMALLEST} on",
        meaning=f"Channels of the scores, (B,K,H,W): {classes}.\n" if classes else "",
    )


class _Encoder(nn.Module):
    """The encoder's maps as a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode(images).values())


def _check(network: nn.Module, whole: bool, size: tuple[int, int] | None) -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise GeosetError(
            "ONNX needs packages that are not installed; get them with: pip install "
            + " ".join(missing)
        )
    if size and min(size) < SMALLEST:
        raise GeosetError(f"size is {size[0]} x {size[1]}; expected {SMALLEST} or more")
    if not whole:
        return
    if isinstance(network, Detector):
        raise GeosetError(
            "Mask R-CNN as a whole has no ONNX graph here; export its encoder (--part encoder), or "
            "all of it with --to safetensors or --to hub"
        )
    if getattr(network, "config", {}).get("architecture") == "pspnet" and not size:
        height, width = network.size or (240, 320)
        raise GeosetError(
            "PSPNet pools images into a grid, which ONNX knows for images of one size only: give "
            f"it, for example --size {height} {width}"
        )


def _program(
    graph: nn.Module, outputs: list[str], size: tuple[int, int] | None
) -> torch.onnx.ONNXProgram:
    shapes = {0: Dim("batch")}
    if not size:
        shapes |= {2: Dim("height", min=SMALLEST), 3: Dim("width", min=SMALLEST)}
    try:
        return torch.onnx.export(
            graph,
            (torch.rand(2, 3, *(size or DRAWN_SIZE)),),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=["images"],
            output_names=outputs,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise GeosetError(
            f"PyTorch {torch.__version__} makes no ONNX graph of this network ({reason}). "
            + _advice(size)
        ) from error


def _advice(size: tuple[int, int] | None) -> str:
    return "Export --to safetensors or timm" if size else "Try it for one size: --size 240 320"


@torch.inference_mode()
def _compare(graph: nn.Module, file: Path, size: tuple[int, int] | None) -> None:
    """Refuse a graph that gives other values than PyTorch, on batches of two sizes."""
    import onnxruntime  # an optional dependency

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for count, (height, width) in enumerate([size] * 2 if size else CHECKED_SIZES, start=1):
        images = torch.rand(count, 3, height, width, generator=generator)
        expected = graph(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        try:
            found = session.run(None, {"images": images.numpy()})
        except Exception as error:  # onnxruntime's have no class in common
            raise GeosetError(
                f"the ONNX graph fails on images of {height} x {width} ({error}). {_advice(size)}"
            ) from error
        for x, y in zip(found, expected, strict=True):
            difference = float((torch.from_numpy(x) - y).abs().max() / y.abs().max())
            if not difference <= TOLERANCE:
                raise GeosetError(
                    f"on images of {height} x {width} the ONNX graph differs from PyTorch by "
                    f"{difference:.1g} of the largest value, expected {TOLERANCE:g}; nothing was "
                    f"written. {_advice(size)}"
                )
