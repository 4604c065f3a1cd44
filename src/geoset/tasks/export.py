"""Write a trained network in the forms that other libraries load."""

from pathlib import Path

from torch import nn

from geoset import __version__
from geoset.errors import GeosetError
from geoset.export.detectron2_backbone import export_detectron2
from geoset.export.hub_folder import export_hub
from geoset.export.onnx_graph import export_onnx
from geoset.export.safetensors_file import export_safetensors
from geoset.export.timm_backbone import export_timm
from geoset.export.torchvision_backbone import export_torchvision
from geoset.files import atomic_write
from geoset.models.load import load_model
from geoset.models.read import weights_of
from geoset.tasks.run_card import history_of
from geoset.tasks.running import say

PARTS = {
    "torchvision": ("encoder",),
    "timm": ("encoder",),
    "detectron2": ("encoder",),
    "safetensors": ("encoder", "whole"),
    "onnx": ("encoder", "whole"),
    "hub": ("whole",),
}
"""What each form can hold; the first unless another is asked for."""

MADE_BY = "Written by geoset"  # in the README.md of each export


def export(
    run: Path,
    to: str,
    out: Path | None = None,
    *,
    part: str | None = None,
    size: tuple[int, int] | None = None,
    license: str = "other",
) -> Path:
    """Write the network of a run for another library; return the folder of files and README.md.

    run: folder of a run, of which the best weights count if any were chosen; or a file of weights
    to: of PARTS
    out: the folder; None is `export/<to>` beside the weights
    part: "encoder" or "whole", see PARTS
    size: (H,W), of ONNX graphs for images of one size only
    license: of the model card, for the hub

    Raises:
        GeosetError: there is no trained network, it has no such form, or `out` holds other files
            that would be replaced.
    """
    if to not in PARTS:
        raise GeosetError(f"--to is '{to}'; expected one of {', '.join(PARTS)}")
    part = part or PARTS[to][0]
    if part not in PARTS[to]:
        raise GeosetError(f"--to {to} holds the {PARTS[to][0]} only; leave out --part {part}")
    if size and to != "onnx":
        raise GeosetError(f"--size is for --to onnx; {to} takes images of any size")
    weights = weights_of(run)
    out = out or weights.parent / "export" / to
    _refuse_to_replace(out, weights)
    network = load_model(weights)
    title = run.resolve().name if run.is_dir() else run.stem
    if to == "hub":
        history = history_of(weights)
        text = export_hub(network, out, title=title, history=history, license=license)
    else:
        text = f"# {title}, for {to}\n\n{_write(network, to, out, part == 'whole', size)}"
    made = f"{MADE_BY} {__version__}: {type(network).__name__}, {part}."
    atomic_write(out / "README.md", f"{text}\n{made}\n")
    say(f"written: {out} (its README.md says how to load it)")
    return out


def _refuse_to_replace(out: Path, weights: Path) -> None:
    if out.resolve() == weights.parent.resolve():
        raise GeosetError(f"{out}: is the run's own folder; choose another --out")
    readme = out / "README.md"
    if readme.is_file() and MADE_BY.encode() not in readme.read_bytes():
        raise GeosetError(
            f"{readme}: is of something else, and would be replaced; choose another --out"
        )


def _write(
    network: nn.Module, to: str, out: Path, whole: bool, size: tuple[int, int] | None
) -> str:
    if to == "safetensors":
        return export_safetensors(network, out, whole)
    if to == "onnx":
        return export_onnx(network, out, whole, size)
    writers = {
        "torchvision": export_torchvision,
        "timm": export_timm,
        "detectron2": export_detectron2,
    }
    return writers[to](network, out)
