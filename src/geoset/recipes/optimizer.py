"""How a stage learns: its optimizer, and how images are changed."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from geoset.errors import GeosetError


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of a stage and its schedule; the defaults are those of Pri3D."""

    kind: Literal["sgd", "adamw"] = "sgd"
    """update rule; adamw takes its betas from torch, and neither momentum nor dampening"""
    lr: float = 0.1
    """highest learning rate; the schedule lowers it"""
    momentum: float = 0.9
    """momentum of SGD"""
    dampening: float = 0.1
    """dampening of SGD's momentum"""
    weight_decay: float = 0.0
    """weight decay, on all parameters"""
    schedule: Literal["poly", "cosine", "steps", "constant"] = "poly"
    """how the learning rate falls from its highest to the end of training, or of the stage"""
    falls: tuple[float, ...] = (2 / 3, 8 / 9)
    """for the schedule steps: shares of the training after which the rate falls to a tenth"""
    power: float = 0.9
    """for the schedule poly: its power"""
    warmup: int = 0
    """steps at the beginning over which the learning rate rises linearly from near 0"""
    batchnorm_decay: bool = False
    """let the momentum of BatchNorm fall with the training, as in Pri3D"""

    def __post_init__(self) -> None:
        for name in ("kind", "schedule"):
            choices = get_args(self.__annotations__[name])
            if getattr(self, name) not in choices:
                raise GeosetError(
                    f"{name} is '{getattr(self, name)}'; choose from {', '.join(choices)}"
                )
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise GeosetError(f"lr is {self.lr}; expected a number above 0, such as 0.1")
        if list(self.falls) != sorted({*self.falls}) or not all(0 < f < 1 for f in self.falls):
            raise GeosetError(
                f"falls are {', '.join(map(str, self.falls))}; expected growing shares between 0 "
                "and 1"
            )
        for name in ("momentum", "dampening"):
            if not 0 <= getattr(self, name) < 1:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 <= {name} < 1")
        for name in ("weight_decay", "power", "warmup"):
            if getattr(self, name) < 0:
                raise GeosetError(f"{name} is {getattr(self, name)}; expected 0 or more")


@dataclass(frozen=True)
class Photometric:
    """How strongly images are changed; the defaults are those of Pri3D and of the paper."""

    jitter_probability: float = 0.8
    """share of the images whose brightness, contrast, saturation and hue change"""
    brightness: float = 0.4
    """brightness factor, drawn from [1 - this, 1 + this]"""
    contrast: float = 0.4
    """contrast factor, drawn from [1 - this, 1 + this]"""
    saturation: float = 0.4
    """saturation factor, drawn from [1 - this, 1 + this]"""
    hue: float = 0.1
    """hue shift in turns (1 = 360 degrees), drawn from [-this, this]"""
    grayscale_probability: float = 0.2
    """share of the images that lose their colour"""
    blur_probability: float = 0.5
    """share of the images that are blurred"""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """lowest and highest sigma of the Gaussian blur, in pixels"""

    def __post_init__(self) -> None:
        for name in ("jitter", "grayscale", "blur"):
            value = getattr(self, f"{name}_probability")
            if not 0 <= value <= 1:
                raise GeosetError(f"{name}_probability is {value}; expected a number in 0..1")
        for name, limit in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise GeosetError(f"{name} is {value}; expected a number in 0..{limit}")
        low, high = self.blur_sigma
        if not 0 < low <= high:
            raise GeosetError(f"blur_sigma is {low}, {high}; expected 0 < lowest <= highest")
