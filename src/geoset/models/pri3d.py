"""Checkpoints of Pri3D: the same network under other names, and heads that only training needs."""

from torch import Tensor

# What else a checkpoint holds, and what it is.
HEADS = {
    "backbone.encoder.fc.": "classifier",
    "backbone3d.": "3D network",
    "w2d.": "Geo head of pixels",
    "w3d.": "Geo head of points",
    "headnet.": "depth head",
    "headloss.": "depth loss",
}


def is_pri3d(state: dict[str, Tensor]) -> bool:
    """Tell whether tensors by name are those of a Pri3D checkpoint."""
    return any(key.startswith("backbone.encoder.") for key in state)


def from_pri3d(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the image network's tensors under the names of `ResUNet`, and what was skipped.

    Keys that Pri3D does not have are returned as they are, so that loading lists them.
    """
    kept, skipped = without(state, HEADS)
    return {key.removeprefix("backbone."): value for key, value in kept.items()}, skipped


def resnet_of(state: dict[str, Tensor]) -> str:
    """Return the encoder's name: ResNet-50 has bottlenecks of three convolutions, 18 has not."""
    return "resnet50" if "backbone.encoder.layer1.0.conv3.weight" in state else "resnet18"


def without(state: dict[str, Tensor], known: dict[str, str]) -> tuple[dict[str, Tensor], str]:
    """Split off the tensors whose names start with one of `known`, prefix to meaning.

    Returns the rest, and a text that counts what was split off: "" where nothing was.
    """
    counts = {prefix: sum(key.startswith(prefix) for key in state) for prefix in known}
    text = ", ".join(f"{n} of {prefix}* ({known[prefix]})" for prefix, n in counts.items() if n)
    kept = {key: value for key, value in state.items() if not key.startswith(tuple(known))}
    return kept, text
