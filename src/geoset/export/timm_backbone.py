"""Any encoder by the names of timm."""

from pathlib import Path

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from geoset.export.description import IMAGES, backbone_tensors, size_rule
from geoset.files import atomic_write
from geoset.models.encoder import RESNET_WIDTHS, RESNETS
from geoset.models.load import listed

USAGE = """\
```python
import timm
import torch

model = timm.create_model("{name}", num_classes=0, checkpoint_path="{file}"{arguments})

mean, std = (torch.tensor(x).view(3, 1, 1) for x in ({mean}, {std}))
maps = model.eval().forward_intermediates(
    (images - mean) / std, indices={indices}, intermediates_only=True
)
```

{images}; {size_rule}.
"""


def export_timm(network: nn.Module, out: Path) -> str:
    """Write the encoder into the folder `out` as a safetensors file of timm's whole model.

    What the model has behind the encoder's last map but its classifier (a last norm, mostly) is as
    timm draws it; the text lists it.
    """
    encoder = network.encoder
    arguments = _arguments(encoder)
    state = backbone_tensors(encoder)
    rest = _drawn(encoder.name, arguments, state)
    file = f"{encoder.name}.safetensors"
    atomic_write(out / file, safetensors.torch.save(state | rest, {"format": "pt"}))
    usage = USAGE.format(
        name=encoder.name,
        file=file,
        arguments="".join(f", {key}={value!r}" for key, value in arguments.items()),
        mean=list(encoder.mean),
        std=list(encoder.std),
        # The last four, or those of a ViT that are evenly spaced.
        indices=4 if encoder.name in RESNETS else encoder.out_indices,
        images=IMAGES,
        size_rule=size_rule(network),
    )
    return usage + (_about_rest(list(rest)) if rest else "")


def _arguments(encoder: nn.Module) -> dict[str, object]:
    """Return what timm's constructor has to be told beside the name."""
    if encoder.name not in RESNETS:
        fixed = timm.get_pretrained_cfg(encoder.name).fixed_input_size
        return {"dynamic_img_size": True} if fixed else {}
    arguments = {}
    if encoder.width != 1:
        arguments["channels"] = tuple(int(encoder.width * width) for width in RESNET_WIDTHS)
    if encoder.reductions[-1] != 32:
        arguments["output_stride"] = encoder.reductions[-1]
    return arguments


def _drawn(name: str, arguments: dict[str, object], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what timm's model without classifier has besides, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = timm.create_model(name, num_classes=0, **arguments).state_dict()
    return {key: value.contiguous() for key, value in whole.items() if key not in state}


def _about_rest(keys: list[str]) -> str:
    return (
        f"\nBehind these maps, the model has also {listed(keys)}: not trained, but as timm "
        "draws them.\n"
    )
