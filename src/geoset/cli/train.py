"""Commands that train without labels."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from geoset.cli.options import Inline, value_of
from geoset.errors import GeosetError
from geoset.recipes import (
    DEMO,
    RECIPES,
    BenchmarkRooms,
    Hardware,
    PretrainRecipe,
    ReproduceSettings,
    at_small_scale,
)

Recipe = Literal[
    "paper", "pri3d_view", "pri3d_geo", "pri3d_view_geo", "continue_view", "continue_geo",
    "continue_view_geo", "sets_only", "small", "demo",
]  # fmt: skip


def chosen_recipe(arguments: list[str]) -> PretrainRecipe:
    """Find the named recipe before parsing, so that its values are the defaults that help shows."""
    recipe = RECIPES.get(value_of("--recipe", arguments), RECIPES["small"])
    return at_small_scale(recipe) if value_of("--scale", arguments) == "small" else recipe


def pretrain(
    prepared: Annotated[Positional[list[str]], arg(metavar="PREPARED...")],
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
        prepared: prepared scenes, or folders of them; also URLs, such as s3://bucket/prepared
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
    workers: int = DEMO.workers,
    pretrain_steps: int = DEMO.pretrain_steps,
    rooms: BenchmarkRooms = DEMO.rooms,
) -> None:
    """Show on made-up rooms what sets are worth, in minutes.

    Makes and prepares rooms, pre-trains on them, and scores a linear layer on the frozen features
    in other rooms: from scratch, after View, after more View, and after as many steps of sets. The
    figures, with pictures, are on the page OUT/table-demo.html. Run again to go on where it
    stopped. For more seeds, steps and rooms: geoset reproduce benchmark.

    Examples:
        geoset demo
        geoset demo --workers 4 --out another-demo

    Args:
        out: folder for everything it makes
        workers: runs at the same time, a thread each
        pretrain_steps: of each stage
        rooms: how many
    """
    from geoset.tasks.reproduce import reproduce as run

    run(
        "demo",
        out,
        settings=replace(DEMO, workers=workers, pretrain_steps=pretrain_steps, rooms=rooms),
    )


def reproduce(
    table: Annotated[Positional[str], arg(metavar="TABLE")],
    /,
    out: Path = Path("geoset-reproduce"),
    data: tuple[str, ...] = ("benchmark",),
    settings: Annotated[ReproduceSettings, Inline] = ReproduceSettings(),  # noqa: B008
    plan: bool = False,
) -> None:
    """Reproduce a table of the paper, or show that its method works, on made-up rooms.

    TABLE is 1 to 10 or 5.2, as in the paper; benchmark: sets against more View, and grouped sets;
    ablations: other ways past View. The result stands in OUT as Markdown and JSON, beside the
    published figures. What is done is not done again, for any table; a stopped one goes on by the
    same command.

    Example: geoset reproduce benchmark --seeds 5 --workers 2

    Example: geoset reproduce 1 --data scannet=/data/scannet --scale paper --plan

    Args:
        table: which
        out: folder for data, runs and results; use one for all tables
        data: benchmark = rooms made up here; or scannet=FOLDER (scans/ and scannet_frames_25k/ in
            it) and nyuv2=FOLDER
        plan: only say what would be run, and how long it may take
    """
    from geoset.tasks.reproduce import reproduce as run

    run(table, out, paths_of(data), settings, plan)


def paths_of(data: tuple[str, ...]) -> dict[str, Path] | None:
    """Read `scannet=PATH nyuv2=PATH`; None for the built-in benchmark."""
    if data == ("benchmark",):
        return None
    pairs = [text.partition("=") for text in data]
    if not all(name in ("scannet", "nyuv2") and path for name, _, path in pairs):
        raise GeosetError(
            f"data is '{' '.join(data)}', expected benchmark, or scannet=PATH and nyuv2=PATH"
        )
    return {name: Path(path) for name, _, path in pairs}
