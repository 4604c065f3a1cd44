"""The command that opens prepared scenes in the browser."""

from pathlib import Path

from geoset.cli.options import Prepared


def view(
    prepared: Prepared,
    /,
    model: Path | None = None,
    out: Path = Path("labels"),
    port: int = 8080,
    host: str = "localhost",
) -> None:
    """Show prepared scenes in the browser, and name sets as labels.

    The surface in colours of images, sets, groups, names, or a network's features; the cameras,
    their images and pairs. A shift-click gives a set a name; the export is what geoset finetune
    segmentation --data reads. Needs pip install viser trimesh.

    Examples:
        geoset view prepared --model runs/first
        geoset view prepared --out my_labels
        ssh -L 8080:localhost:8080 SERVER geoset view prepared

    Args:
        prepared: prepared scenes, or folders of them; also URLs
        model: a run of geoset pretrain, or a file of weights, to paint its features
        out: folder for names and label images; what is named there already is shown
        port: of the page; the next free one if it is taken
        host: localhost is for this machine alone, and ssh; 0.0.0.0 is for all who reach it
    """
    from geoset.tasks.view import view as run

    run(prepared, out, model, host, port)
