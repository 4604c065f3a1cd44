"""Whether a scene that is there already is the one asked for."""

from pathlib import Path

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene


def check_finished(folder: Path, scan_path: Path, wanted: dict) -> dict:
    """Return what a finished scene says of itself, if it is the one asked for.

    Raises:
        GeosetError: it is another scan's, was prepared with other settings, or is damaged.
    """
    info = PreparedScene(folder).info
    source = Path(info["scan"]["path"])
    if source != scan_path.resolve() and source.exists():
        raise GeosetError(
            f"{folder}: holds another scan of the same name, {source}. Choose another OUT for "
            f"{scan_path}, or rename its folder"
        )
    for key, value in wanted.items():
        before = info["settings"].get(key)
        if before != value:
            raise GeosetError(
                f"{folder}: was prepared with {key} = {before}, now asked with {value}. Choose "
                "another OUT, or remove the folder to prepare it again"
            )
    return info
