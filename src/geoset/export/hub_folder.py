"""A folder as Hugging Face's hub has them: weights, a configuration, a model card."""

import json
from pathlib import Path

from torch import nn

from geoset import __version__
from geoset.export.description import IMAGES, describe
from geoset.export.safetensors_file import export_safetensors
from geoset.files import atomic_write
from geoset.models.detector import Detector
from geoset.models.segmenter import Segmenter

CARD = """\
---
library_name: geoset
license: {license}
pipeline_tag: {task}
tags:
- geoset
- {encoder}
---

# {title}

{what}.

It is a network of geoset, which pre-trains image encoders on RGB-D scans without labels, through
geometric consistency sets ([Chen et al., CVPR 2022](https://arxiv.org/abs/2203.15361)).

## Use

```python
import geoset

model = geoset.load_model(".")  # this folder; huggingface_hub.snapshot_download fetches it
maps = model.encode(images)  # {maps}
```

{images}; any H and W. `geoset export . --to timm` writes the same weights for timm; also
for torchvision, detectron2 and ONNX.

{history}

## Intended use

Dense features of indoor images, to be fine-tuned for segmentation, detection and alike with few
labels. What was trained on rooms says little on streets, faces or single objects; measure before
relying on it. Not for decisions about people.

## Licence

{terms}

## Citation

Chen et al.: Self-Supervised Image Representation Learning with Geometric Set Consistency.
CVPR 2022, arXiv 2203.15361.
"""
NO_LICENCE = """\
Not stated. Weights may be bound by the terms of the data they were trained on: many data sets of
scans allow research only. Whoever publishes them states the licence here, and at the top."""


def export_hub(network: nn.Module, out: Path, *, title: str, history: str, license: str) -> str:
    """Write `model.safetensors` and `config.json` into a folder; return the model card.

    history: sections of the card on training and results; license: its id on the hub, or "other"
    """
    export_safetensors(network, out, whole=True)
    facts = describe(network)
    config = facts | {"library_name": "geoset", "geoset": __version__, "config": network.config}
    atomic_write(out / "config.json", json.dumps(config, indent=2) + "\n")
    task, what = _kind(network)
    return CARD.format(
        license=license,
        task=task,
        encoder=network.encoder.name,
        title=title,
        what=what,
        maps=", ".join(facts["strides"]),
        images=IMAGES,
        history=history,
        terms=NO_LICENCE if license == "other" else f"{license}.",
    )


def _kind(network: nn.Module) -> tuple[str, str]:
    """Return the task as the hub calls it, and what the network is."""
    name = network.encoder.name
    if not isinstance(network, Segmenter | Detector):
        return "image-feature-extraction", f"A {name} and a decoder of dense features"
    classes = f"fine-tuned with labels of {len(network.classes)} classes"
    names = ", ".join(network.classes)
    if isinstance(network, Detector):
        return "object-detection", f"Mask R-CNN on a {name}, {classes} ({names})"
    architecture = network.config["architecture"]
    return "image-segmentation", f"A {architecture} on a {name}, {classes} ({names})"
