"""The command line: one function a command. What they do lives in `geoset.tasks`."""

import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from geoset import __version__
from geoset.errors import GeosetError
from geoset.recipes import (
    RECIPES,
    DemoSettings,
    GroupSettings,
    Hardware,
    LayerSettings,
    PrepareSettings,
    PretrainRecipe,
    at_small_scale,
)

Inline = arg(name="")  # the fields of a settings object stand as options of the command itself
Recipe = Literal[
    "paper", "pri3d_view", "pri3d_geo", "pri3d_view_geo", "continue_view", "continue_geo",
    "continue_view_geo", "sets_only", "small", "demo",
]  # fmt: skip


def inspect(path: Positional[Path], /, out: Path | None = None, frames: int = 4) -> None:
    """Say what a folder holds: a scan, a folder of scans, or prepared scenes.

    For a scan: the layout, frames, cameras, depth and poses, and what was rejected. For a prepared
    scene: its figures, and a picture of colour, sets, depth and coverage.

    Example: geoset inspect my_scan

    Args:
        path: the folder
        out: where to draw the picture; default <scene>/contact_sheet.png
        frames: how many frames it shows
    """
    from geoset.tasks.inspect import inspect as run

    run(path, out, frames)


def prepare(
    scans: Annotated[Positional[Path], arg(metavar="SCANS")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    settings: Annotated[PrepareSettings, Inline] = PrepareSettings(),  # noqa: B008
    workers: int = 1,
) -> None:
    """Cut surfaces into geometric sets and project them into the frames.

    Finished scenes are skipped, so a run that was stopped is continued by the same command.

    A scan that fails does not stop the others; the exit code is then 1.

    Example: geoset prepare my_scans prepared --workers 2

    Args:
        scans: one scan, or a folder of scans
        out: folder for the prepared scenes
        workers: scenes prepared at the same time
    """
    from geoset.tasks.prepare import prepare as run

    if run(scans, out, settings, workers).failed:
        raise SystemExit(1)


def layers(
    prepared: Annotated[Positional[list[Path]], arg(metavar="PREPARED...")],
    /,
    settings: Annotated[LayerSettings, Inline],
    workers: int = 1,
) -> None:
    """Add other labellings of the surface to prepared scenes, without rendering anything again.

    A layer that is there is left as it is. Pre-train on one, or several, by --layers.

    Example: geoset layers prepared --threshold 0.02 0.05

    Example: geoset layers prepared --images semantic

    Example: geoset layers prepared --labels my_labels --name mine --scope global

    Args:
        prepared: prepared scenes, or folders of them
        workers: scenes worked on at the same time
    """
    from geoset.tasks.layers import add_layers as run

    if run(prepared, settings, workers).failed:
        raise SystemExit(1)


def group(
    prepared: Annotated[Positional[list[Path]], arg(metavar="PREPARED...")],
    /,
    settings: Annotated[GroupSettings, Inline] = GroupSettings(),  # noqa: B008
    out: Path | None = None,
    workers: int = 1,
) -> None:
    """Declare sets of different scenes alike, so that pre-training draws them together.

    Writes groups/NAME.npy into each scene, and a picture of what the groups hold: look at it.
    Pre-train with --groups NAME.

    Example: geoset group prepared --by geometry --count 60 --name shapes

    Args:
        prepared: prepared scenes, or folders of them: all that will be trained on together
        out: the picture; default groups-NAME.png in the first of PREPARED
        workers: scenes worked on at the same time
    """
    from geoset.tasks.group import group as run

    run(prepared, settings, out, workers)


def pretrain(
    prepared: Annotated[Positional[list[Path]], arg(metavar="PREPARED...")],
    /,
    out: Path,
    recipe: Recipe = "small",
    scale: Literal["full", "small"] = "full",
    settings: Annotated[PretrainRecipe, Inline] = RECIPES["small"],
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Pre-train an image encoder on prepared scenes, stage after stage.

    The defaults below are those of the recipe; any of them can be changed. The recipes: paper
    (stage 1 of Pri3D, then sets); pri3d_view, pri3d_geo, pri3d_view_geo (stage 1 alone);
    continue_view, continue_geo, continue_view_geo (more of stage 1 in place of sets, Table 10);
    sets_only; small (View, then sets: minutes on 2 cores); demo (what geoset demo runs).

    Example: geoset pretrain prepared --recipe small --out runs/first

    Example: geoset pretrain prepared --recipe paper --model.encoder resnet18 --out runs/paper

    Args:
        prepared: prepared scenes, or folders of them
        out: folder of the run: weights, log, checkpoints
        recipe: what is trained, see above
        scale: small cuts any recipe down to minutes on 2 cores; full leaves it as it is
        seed: the same seed gives the same weights
        resume: go on with the run in OUT
    """
    from geoset.tasks.pretrain import pretrain as run

    run(prepared, out, settings, seed=seed, resume=resume, hardware=hardware)


def demo(
    out: Path = Path("geoset-demo"),
    seed: int = 0,
    settings: Annotated[DemoSettings, Inline] = DemoSettings(),  # noqa: B008
) -> None:
    """Show the whole path on made-up rooms, without any download, in minutes.

    Makes rooms, prepares and pre-trains on them, probes the features on labelled rooms, and writes
    a page with pictures and figures. Run again to go on where it stopped.

    Example: geoset demo

    Args:
        out: folder for everything it makes
        seed: of the networks; the rooms are always the same
    """
    from geoset.tasks.demo import demo as run

    print(f"report: {run(out, seed, settings).resolve()}")


COMMANDS = {
    "inspect": inspect,
    "prepare": prepare,
    "layers": layers,
    "group": group,
    "pretrain": pretrain,
    "demo": demo,
}
DESCRIPTION = "RGB-D scans in, pre-trained image encoders out."


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(__version__)
        return
    commands = COMMANDS | {"pretrain": partial(pretrain, settings=_chosen_recipe(arguments))}
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="geoset", description=DESCRIPTION)
    except GeosetError as error:
        print(f"geoset: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        raise SystemExit(130) from None


def _chosen_recipe(arguments: list[str]) -> PretrainRecipe:
    """Find the named recipe before parsing, so that its values are the defaults that help shows."""
    recipe = RECIPES.get(_value_of("--recipe", arguments), RECIPES["small"])
    return at_small_scale(recipe) if _value_of("--scale", arguments) == "small" else recipe


def _value_of(flag: str, arguments: list[str]) -> str:
    """Return the value that follows `flag`, also as `flag=value`; empty if it is not there."""
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return ""
