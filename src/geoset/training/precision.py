"""Mixed precision without copies of what goes into and comes out of a network."""

from typing import Any

import torch
from lightning_fabric.plugins import MixedPrecision, Precision


class Autocast(MixedPrecision):
    """Autocast of the forward pass, and nothing else.

    Fabric's own plugin also casts all inputs down, and all outputs to float32: dense features
    would be copied to twice their size. Losses widen what they use.
    """

    def convert_input(self, data: Any) -> Any:
        """Return `data` as it is."""
        return data

    def convert_output(self, data: Any) -> Any:
        """Return `data` as it is."""
        return data


def plugins_for(precision: str, accelerator: str) -> dict[str, Precision | str]:
    """Return the argument that gives Fabric `precision`, a name that it knows."""
    if precision not in ("bf16-mixed", "16-mixed"):
        return {"precision": precision}
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    # Given by name, 16-mixed would become bf16 on a CPU; torch does have fp16 there.
    return {"plugins": Autocast(precision, "cuda" if on_gpu else "cpu")}
