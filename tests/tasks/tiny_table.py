"""A program that makes a table of two methods, in a folder; for tests that stop it."""

import sys
from pathlib import Path

from geoset.recipes import BenchmarkRooms, ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks.reproduce.table import reproduce

ROOMS = BenchmarkRooms(
    unlabelled=2, unlabelled_frames=4, labelled=3, validation=2, tuning=1, labelled_frames=2
)

if __name__ == "__main__":
    TABLES["tiny"] = Table("Two methods", ("scratch", "view"), (Column("probe", Task("probe")),))
    reproduce(
        "tiny",
        Path(sys.argv[1]),
        settings=ReproduceSettings(seeds=1, pretrain_steps=40, rooms=ROOMS),
    )
