"""ResNets by the names of detectron2, in the form of its model zoo."""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from geoset.export.description import backbone_tensors
from geoset.export.torchvision_backbone import check_resnet
from geoset.files import atomic_write

CONFIG = """\
# The backbone of {name}.pkl, for detectron2. Merge it after a config of your choice, and mind that
# WEIGHTS is looked up from where you start.
MODEL:
  WEIGHTS: "{name}.pkl"
  PIXEL_MEAN: {mean}
  PIXEL_STD: {std}
  RESNETS:
    DEPTH: {depth}
    STRIDE_IN_1X1: False
{narrow}INPUT:
  FORMAT: "RGB"
"""

USAGE = """\
```python
from detectron2 import model_zoo

cfg = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
cfg.merge_from_file("{name}.yaml")
```

`{name}.yaml` sets what differs from detectron2's own backbones, and what goes wrong in silence:

- images are **RGB** (`INPUT.FORMAT`), where detectron2 reads BGR;
- `PIXEL_MEAN` and `PIXEL_STD` are of RGB in 0..255, {mean} and {std};
- the stride of a bottleneck is in its 3x3 convolution (`STRIDE_IN_1X1: False`).

detectron2's `FrozenBN`, the default, keeps the statistics of BatchNorm as they are; to train them
on, set `MODEL.RESNETS.NORM: "SyncBN"`. `MODEL.BACKBONE.FREEZE_AT: 0` trains stem and first stage.
"""


def export_detectron2(network: nn.Module, out: Path) -> str:
    """Write the encoder into the folder `out`, with a config that fits it.

    Raises:
        GeosetError: the encoder is no ResNet, or none of those that detectron2 has.
    """
    encoder = network.encoder
    check_resnet(encoder, "detectron2")
    name = encoder.name
    model = {
        detectron2_name(key): value.numpy()
        for key, value in backbone_tensors(encoder).items()
        if not key.endswith("num_batches_tracked")  # FrozenBN has no such thing
    }
    content = {"model": model, "__author__": "geoset", "matching_heuristics": True}
    atomic_write(out / f"{name}.pkl", _pickled(content))
    mean, std = ([round(255 * x, 3) for x in values] for values in (encoder.mean, encoder.std))
    depth = int(name.removeprefix("resnet"))
    narrow = "    RES2_OUT_CHANNELS: 64\n" if depth < 50 else ""
    config = CONFIG.format(name=name, mean=mean, std=std, depth=depth, narrow=narrow)
    atomic_write(out / f"{name}.yaml", config)
    return USAGE.format(name=name, mean=mean, std=std)


def detectron2_name(key: str) -> str:
    """Return the name in detectron2 of a tensor of torchvision's ResNet."""
    key = re.sub(r"\bbn(\d)", r"conv\1.norm", key)
    key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    stage = re.match(r"layer(\d)", key)
    return f"res{int(stage[1]) + 1}{key[stage.end() :]}" if stage else f"stem.{key}"


class _Pickler(pickle.Pickler):
    """Names of numpy 2 that an older one does not have stay out of the file."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


def _pickled(content: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(content)
    return file.getvalue()
