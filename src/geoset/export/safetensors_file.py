"""Weights alone, the encoder's or all, in a file that says what it is for."""

import json
from pathlib import Path

import safetensors.torch
from torch import nn

from geoset.export.description import IMAGES, backbone_tensors, describe, size_rule, tensors_of
from geoset.files import atomic_write
from geoset.models.encoder import RESNETS
from geoset.models.load import METADATA_KEY
from geoset.models.read import WEIGHTS_FILE

WHOLE = """\
```python
import geoset

model = geoset.load_model("{file}")
maps = model.encode(images)
```

{images}; any H and W.
"""
ENCODER = """\
```python
import torch
from geoset.models.encoder import build_encoder
from geoset.models.initial import load_encoder

encoder = build_encoder({arguments})
load_encoder(encoder, "{file}")

mean, std = (torch.tensor(x).view(3, 1, 1) for x in ({mean}, {std}))
maps = encoder.eval()((images - mean) / std)  # a list, finest first
```

{images}; {size_rule}. The tensors bear the names of {names}.
`geoset finetune segmentation --encoder {file}` takes the file, too.
"""


def export_safetensors(network: nn.Module, out: Path, whole: bool) -> str:
    """Write `model.safetensors`, or of the encoder alone `encoder.safetensors`, into `out`.

    The metadata hold each entry of `describe` as JSON, and what `load_model` reads.
    """
    encoder, facts = network.encoder, describe(network)
    file = WEIGHTS_FILE if whole else "encoder.safetensors"
    metadata = {key: json.dumps(value) for key, value in facts.items()} | {
        "format": "pt",
        METADATA_KEY: json.dumps({"model": facts["model"], "config": network.config}),
    }
    state = tensors_of(network) if whole else backbone_tensors(encoder)
    atomic_write(out / file, safetensors.torch.save(state, metadata))
    if whole:
        return WHOLE.format(file=file, images=IMAGES)
    width = "" if encoder.width == 1 else f", width={encoder.width:g}"
    stride = encoder.reductions[-1]
    resnet = encoder.name in RESNETS
    dilated = f", output_stride={stride}" if resnet and stride != 32 else ""
    return ENCODER.format(
        arguments=f'"{encoder.name}"{width}{dilated}',
        file=file,
        mean=list(encoder.mean),
        std=list(encoder.std),
        images=IMAGES,
        size_rule=size_rule(network),
        names="torchvision" if resnet else "timm",
    )
