"""Commands on scans and prepared scenes."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from geoset.cli.options import Inline
from geoset.recipes import GroupSettings, LayerSettings, PrepareSettings


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
