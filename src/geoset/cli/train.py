"""Commands that train without labels."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from geoset.cli.options import Flag, Inline, Prepared, Resume, Scale, Seed, value_of
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
from geoset.recipes.length import in_epochs
from geoset.recipes.moco import MocoSettings, moco_at_small_scale

Recipe = Literal[
    "paper", "pri3d_view", "pri3d_geo", "pri3d_view_geo", "continue_view", "continue_geo",
    "continue_view_geo", "sets_only", "small", "demo", "moco",
]  # fmt: skip


def chosen_pretraining(arguments: list[str]) -> partial:
    """Find the recipe before parsing, so that its values are the defaults that help shows."""
    name, small = value_of("--recipe", arguments), value_of("--scale", arguments) == "small"
    if name == "moco":
        moco = moco_at_small_scale() if small else MocoSettings()
        if value_of("--epochs", arguments):
            moco = in_epochs(moco)
        return partial(pretrain_moco, settings=moco)
    recipe = RECIPES.get(name, RECIPES["small"])
    recipe = at_small_scale(recipe) if small else recipe
    stages = [
        in_epochs(stage) if value_of(f"--stages.{number}.epochs", arguments) else stage
        for number, stage in enumerate(recipe.stages)
    ]
    return partial(pretrain, settings=replace(recipe, stages=tuple(stages)))


def pretrain(
    prepared: Prepared,
    /,
    out: Path,
    recipe: Recipe = "small",
    scale: Scale = "full",
    settings: Annotated[PretrainRecipe, Inline] = RECIPES["small"],
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Pre-train an image encoder on prepared scenes, stage after stage.

    View compares pixels of two views, Geo pixels with points of the surface (both are Pri3D's);
    sets are the paper's. The defaults below are those of the recipe, and can be changed.

    Recipes:
        small              View, then sets; a narrow ResNet-18: minutes on 2 cores
        demo               small, with twice the features and steps: geoset demo
        paper              View + Geo (5 epochs), then sets (2); ResNet-50, ImageNet
        pri3d_view         View (5 epochs)
        pri3d_geo          Geo (5 epochs)
        pri3d_view_geo     View + Geo (5 epochs)
        continue_view      View + Geo (5 epochs), then View (2): Table 10
        continue_geo       View + Geo (5 epochs), then Geo (2)
        continue_view_geo  View + Geo (5 epochs), then View + Geo (2)
        sets_only          sets (7 epochs)
        moco               MoCo v2 on single images (100 epochs), a baseline

    Stages of View or Geo in paper, pri3d_* and continue_* predict depth, too, as Pri3D's scripts
    do; --stages.0.depth 0 leaves it out.

    Examples:
        geoset pretrain prepared --recipe small --out runs/first
        geoset pretrain prepared --recipe paper --scale small --out runs/paper-small
        geoset pretrain prepared --recipe paper --model.encoder resnet18 --out r18
        geoset pretrain --recipe paper --help

    Args:
        prepared: prepared scenes, or folders of them; also URLs, such as s3://bucket/prepared
        out: folder of the run: weights, log, checkpoints
        recipe: what is trained, see above
    """
    from geoset.tasks.pretrain import pretrain as run

    run(prepared, out, settings, seed=seed, resume=resume, hardware=hardware)


def pretrain_moco(
    prepared: Prepared,
    /,
    out: Path,
    recipe: Recipe = "moco",
    scale: Scale = "full",
    settings: Annotated[MocoSettings, Inline] = MocoSettings(),  # noqa: B008
    hardware: Annotated[Hardware, Inline] = Hardware(),  # noqa: B008
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Pre-train by MoCo v2: the same command with other settings, as it has no stages.

    Args:
        prepared: prepared scenes, or folders of them; also URLs, such as s3://bucket/prepared
        out: folder of the run: weights, log, checkpoints
        recipe: what is trained, see above
    """
    from geoset.tasks.moco import pretrain_moco as run

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
        pretrain_steps: steps of each stage of pre-training
        rooms: how many rooms, and images of each
    """
    from geoset.tasks.reproduce.table import reproduce as run

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
    plan: Flag = False,
) -> None:
    """Train and score what a table of the paper compares.

    On the paper's data, or, for everybody, on made-up rooms at small scale.

    The result stands in OUT as Markdown, JSON and a page, beside the published figures. What is
    done is not done again, for any table; a stopped one goes on by the same command.

    Tables:
        1 to 10, 5.2  as numbered in the paper
        benchmark     sets against more View, and sets grouped across scenes
        ablations     other ways past View
        tuned         benchmark's first rows, at learning rates searched for each

    Examples:
        geoset reproduce benchmark --plan
        geoset reproduce benchmark --seeds 5 --workers 2
        geoset reproduce 1 --data scannet=/data/scannet --scale paper --plan

    Args:
        table: which, see above
        out: folder for data, runs and results; use one for all tables
        data: benchmark, or scannet=FOLDER (with scans/ and scannet_frames_25k/) and nyuv2=FOLDER
        plan: only say what would be run, and how long it may take
    """
    from geoset.tasks.reproduce.table import reproduce as run

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
