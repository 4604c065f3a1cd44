"""What commands have in common in how they read their options."""

import itertools
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

REQUIRED = "(required)"
Inline = arg(name="")  # the fields of a settings object stand as options of the command itself
Prepared = Annotated[Positional[list[str]], arg(metavar="PREPARED...", help_behavior_hint=REQUIRED)]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Flag = FlagCreatePairsOff[bool]  # without a --no-flag
Scale = Annotated[
    Literal["full", "small"],
    arg(help="small cuts the recipe down to minutes on 2 cores; full leaves it as it is"),
]
Seed = Annotated[int, arg(help="the same seed gives the same weights")]
Resume = Annotated[Flag, arg(help="go on with the run in OUT")]


def value_of(flag: str, arguments: list[str]) -> str:
    """Return the value that follows `flag`, also as `flag=value`; empty if it is not there."""
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return ""
