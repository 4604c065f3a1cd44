"""Commands on scans and prepared scenes."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from geoset.cli.options import Inline, Prepared
from geoset.recipes import GroupSettings, LayerSettings, PrepareSettings


def inspect(
    path: Annotated[Positional[str], arg(metavar="PATH")],
    /,
    out: Path | None = None,
    frames: int = 4,
) -> None:
    """Say what a folder holds: a scan, several, or prepared scenes.

    Of a scan: the layout, frames, cameras, depth and poses, and what was rejected. Of a prepared
    scene: its figures, and a picture of colour, sets, depth and coverage.

    Examples:
        geoset inspect my_scan
        geoset inspect prepared --frames 8

    Args:
        path: the folder, or the file of a scan (.sens); of prepared scenes also a URL
        out: file for the picture; none = contact_sheet.png in the scene, SCENE.png here for a URL
        frames: how many frames the picture shows
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
    """Cut surfaces into geometric sets and project them into frames.

    Finished scenes are skipped, unless their scan changed since: a run that was stopped is
    continued by the same command. A scan that fails does not stop the others; the exit code is
    then 1, or 2 if all failed, and OUT/failed says why. OUT/report.json tells of all scans.

    Examples:
        geoset prepare my_scans prepared --workers 2
        geoset prepare my_scans prepared --image-size 480 640 --frame-step 10
        geoset prepare scannet/scans prepared --shard 3/40
        geoset prepare my_scans prepared --engine dask --address tcp://host:8786

    Args:
        scans: one scan, or a folder of scans
        out: folder for the prepared scenes; also a URL, such as s3://bucket/prepared
        workers: scenes prepared at once, 1 GB of memory each; a cluster with an address has its own
        engine: where scenes are prepared: processes of this machine, a Dask or a Ray cluster
        address: of the cluster: tcp://host:8786 (Dask), auto (Ray); none = one is started here
        shard: i/n prepares the i-th of n parts of the scans, for arrays of jobs with one OUT
        split: which of ScanNet's scenes, if its lists are beside them
        split_list: file that names the scans to prepare, one a line
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
    prepared: Prepared,
    /,
    settings: Annotated[LayerSettings, Inline],
    workers: int = 1,
) -> None:
    """Add other sets to prepared scenes, without rendering again.

    A layer is a labelling of the surface: what it labels alike is a set. One that is there is
    left as it is. Train on one or several by geoset pretrain --layers.

    Examples:
        geoset layers prepared --threshold 0.02 0.05
        geoset layers prepared --images semantic
        geoset layers prepared --labels my_labels --name mine --scope global

    Args:
        prepared: prepared scenes, or folders of them; also URLs
        workers: scenes worked on at the same time
    """
    from geoset.tasks.layers import add_layers as run

    if run(prepared, settings, workers).failed:
        raise SystemExit(1)


def group(
    prepared: Prepared,
    /,
    settings: Annotated[GroupSettings, Inline] = GroupSettings(),  # noqa: B008
    out: Path | None = None,
    workers: int = 1,
) -> None:
    """Declare sets of different scenes alike, to be pulled together.

    Writes groups/NAME.npy into each scene, and a picture of what the groups hold: look at it.
    Train with geoset pretrain --groups NAME: sets of one group attract each other.

    --by:
        geometry       clusters of height, slope and extents, which need no labels
        features:CKPT  clusters of the mean features of a network, a file or a run
        layer:NAME     the label that most of the set has in another layer
        file:FOLDER    FOLDER/<scene>.npy, one integer a set
        random         clusters of the sizes of geometry's, shuffled, for comparison

    Examples:
        geoset group prepared --by geometry --count 60 --name shapes
        geoset group prepared --by layer:semantic --name classes

    Args:
        prepared: prepared scenes, or folders of them: all that will be trained on together
        out: file for the picture; none = groups-NAME.png in the first of PREPARED, here for a URL
        workers: scenes worked on at the same time
    """
    from geoset.tasks.group import group as run

    run(prepared, settings, out, workers)
