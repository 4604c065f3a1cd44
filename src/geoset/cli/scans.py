"""Commands on scans and prepared scenes."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from geoset.cli.options import Inline
from geoset.recipes import GroupSettings, LayerSettings, PrepareSettings


def inspect(path: Positional[str], /, out: Path | None = None, frames: int = 4) -> None:
    """Say what a folder holds: a scan, a folder of scans, or prepared scenes.

    For a scan: the layout, frames, cameras, depth and poses, and what was rejected. For a prepared
    scene: its figures, and a picture of colour, sets, depth and coverage.

    Example: geoset inspect my_scan

    Args:
        path: the folder; of prepared scenes also a URL
        out: where to draw the picture; default <scene>/contact_sheet.png, of a URL SCENE.png
        frames: how many frames it shows
    """
    from geoset.tasks.inspect import inspect as run

    run(path, out, frames)


def prepare(
    scans: Annotated[Positional[Path], arg(metavar="SCANS")],
    out: Annotated[Positional[str], arg(metavar="OUT")],
    /,
    settings: Annotated[PrepareSettings, Inline] = PrepareSettings(),  # noqa: B008
    workers: int = 1,
    engine: Literal["local", "dask", "ray"] = "local",
    address: str | None = None,
    shard: str | None = None,
    split: Literal["train", "val", "test", "all"] = "train",
    split_list: Path | None = None,
) -> None:
    """Cut surfaces into geometric sets and project them into the frames.

    Finished scenes are skipped, unless their scan changed since: a run that was stopped is
    continued by the same command. A scan that fails does not stop the others; the exit code is
    then 1, and OUT/failed says why. OUT/report.json tells of all scans.

    Example: geoset prepare my_scans prepared --workers 2

    Example: geoset prepare my_scans prepared --engine dask --address tcp://host:8786

    Args:
        scans: one scan, or a folder of scans
        out: folder for the prepared scenes; also a URL, such as s3://bucket/prepared
        workers: scenes prepared at the same time; a cluster with an address has its own
        engine: where: processes of this machine, a Dask or a Ray cluster
        address: of the cluster: tcp://host:8786 (Dask), auto (Ray); none = one is started here
        shard: i/n prepares the i-th of n parts of the scans, for arrays of jobs with one OUT
        split: of ScanNet's scenes, if its lists are beside them
        split_list: a file of names of scans to prepare, one a line
    """
    from geoset.tasks.prepare import prepare as run

    summary = run(
        scans,
        out,
        settings,
        workers,
        engine=engine,
        address=address,
        shard=shard,
        split=split,
        split_list=split_list,
    )
    if summary.failed:
        raise SystemExit(1)


def layers(
    prepared: Annotated[Positional[list[str]], arg(metavar="PREPARED...")],
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
        prepared: prepared scenes, or folders of them; also URLs
        workers: scenes worked on at the same time
    """
    from geoset.tasks.layers import add_layers as run

    if run(prepared, settings, workers).failed:
        raise SystemExit(1)


def group(
    prepared: Annotated[Positional[list[str]], arg(metavar="PREPARED...")],
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
        out: the picture; default groups-NAME.png in the first of PREPARED,
            or in this folder if that is a URL
        workers: scenes worked on at the same time
    """
    from geoset.tasks.group import group as run

    run(prepared, settings, out, workers)
