"""How tables are reproduced: the built-in benchmark, and how long its runs are."""

from dataclasses import dataclass, field
from typing import Literal

from geoset.recipes.checks import require

Scale = Literal["small", "paper"]


@dataclass(frozen=True)
class BenchmarkRooms:
    """The made-up rooms; every purpose has its own."""

    unlabelled: int = 80
    """rooms to pre-train on"""
    unlabelled_frames: int = 20
    """images of each of them"""
    labelled: int = 100
    """rooms whose labels are learned from"""
    validation: int = 40
    """rooms that are scored on"""
    tuning: int = 20
    """rooms that settings may be chosen on; never used for the tables"""
    labelled_frames: int = 4
    """images of each room with labels"""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value, least = getattr(self, name), int(name != "tuning")
            require(value >= least, f"{name} is {value}", f"{least} or more")


@dataclass(frozen=True)
class ReproduceSettings:
    """What a table is made with."""

    scale: Scale = "small"
    """small: narrow ResNet-18, steps counted in hundreds, two cores; paper: as published"""
    seeds: int = 3
    """runs of everything, with a seed each, counted from the first"""
    first_seed: int = 0
    """above 0: to share the seeds of a table among machines"""
    workers: int = 1
    """runs at the same time, a thread each; 1 takes one after the other, with all threads"""
    pretrain_steps: int | None = None
    """steps of each stage of pre-training; none = the scale's"""
    finetune_steps: int | None = None
    """steps of fine-tuning; none = the scale's"""
    rooms: BenchmarkRooms = field(default_factory=BenchmarkRooms)
    """the built-in benchmark"""

    def __post_init__(self) -> None:
        for name in ("seeds", "workers"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "1 or more")
        require(self.first_seed >= 0, f"first_seed is {self.first_seed}", "0 or more")
        for name in ("pretrain_steps", "finetune_steps"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} is {value}", "1 or more")

    @property
    def seed_numbers(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)


# What `geoset demo` runs: the same as the benchmark, as far as two cores get in seven minutes.
DEMO = ReproduceSettings(
    seeds=1,
    workers=2,
    pretrain_steps=400,
    rooms=BenchmarkRooms(unlabelled=36, unlabelled_frames=14, labelled=32, validation=16, tuning=0),
)
