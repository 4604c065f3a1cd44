"""What all exports say of a network."""

from typing import Any

from torch import Tensor, nn

from geoset.models.image_network import map_names

IMAGES = "`images`: RGB in 0..1, (B,3,H,W), float32"


def describe(network: nn.Module) -> dict[str, Any]:
    """Return what users of a network's encoder have to know, as JSON holds it.

    `encoder`, `width`: the arguments of `build_encoder`; `mean`, `std`: of its colours in 0..1;
    `multiple`: what H and W are a multiple of; `strides`, `channels`: of each map by name.
    """
    encoder = network.encoder
    names = map_names(encoder)
    return {
        "model": type(network).__name__,
        "encoder": encoder.name,
        "width": encoder.width,
        "color": "RGB in 0..1",
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "multiple": encoder.multiple,
        "strides": dict(zip(names, encoder.reductions, strict=True)),
        "channels": dict(zip(names, encoder.channels, strict=True)),
    }


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers by name, on the CPU."""
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}


def backbone_tensors(encoder: nn.Module) -> dict[str, Tensor]:
    """Return an encoder's tensors by the names of torchvision (ResNets) or timm."""
    return {key.removeprefix("model."): value for key, value in tensors_of(encoder).items()}


def size_rule(network: nn.Module) -> str:
    """Say which sizes of images the bare encoder takes."""
    multiple = network.encoder.multiple
    return "any H and W" if multiple == 1 else f"H and W multiples of {multiple}"
