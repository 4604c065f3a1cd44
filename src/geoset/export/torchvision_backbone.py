"""ResNets by the names of torchvision, and what detectron2 has in common with it."""

from pathlib import Path

import torch
from torch import nn

from geoset.errors import GeosetError
from geoset.export.description import IMAGES, backbone_tensors
from geoset.files import atomic_path
from geoset.models.encoder import RESNETS

USAGE = """\
```python
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import Normalize

model = torchvision.models.{name}()
model.fc = torch.nn.Identity()  # the file has no classifier; add your own after loading
model.load_state_dict(torch.load("{name}.pth"))

stages = {{"layer1": "stride4", "layer2": "stride8", "layer3": "stride16", "layer4": "stride32"}}
encode = create_feature_extractor(model.eval(), stages)
maps = encode(Normalize({mean}, {std})(images))
```

{images}; any H and W.
"""


def export_torchvision(network: nn.Module, out: Path) -> str:
    """Write the encoder into the folder `out` as a state dict of torchvision's model.

    Raises:
        GeosetError: the encoder is no ResNet, or none of those that torchvision has.
    """
    encoder = network.encoder
    check_resnet(encoder, "torchvision")
    with atomic_path(out / f"{encoder.name}.pth") as temporary:
        torch.save(backbone_tensors(encoder), temporary)
    return USAGE.format(
        name=encoder.name, mean=list(encoder.mean), std=list(encoder.std), images=IMAGES
    )


def check_resnet(encoder: nn.Module, library: str) -> None:
    """Refuse an encoder that is not as `library` builds it.

    Raises:
        GeosetError: it is no ResNet, a narrow or a dilated one.
    """
    name, stride = encoder.name, encoder.reductions[-1]
    if name not in RESNETS:
        what = f"the encoder is {name}; to {library} go {', '.join(RESNETS)}"
    elif encoder.width != 1:
        what = f"the encoder is a {name} of width {encoder.width:g}, which {library} does not have"
    elif stride != 32:
        what = f"the encoder is dilated to stride {stride}, as {library}'s {name} is not"
    else:
        return
    raise GeosetError(f"{what}. Export it with --to timm, safetensors or onnx")
