"""Which format a path holds."""

from pathlib import Path

from geoset.errors import GeosetError
from geoset.scans import folders, seven_scenes
from geoset.scans.scan import Scan, count_reasons

READERS = (seven_scenes, folders)  # the first that matches reads


def find_reader(path: Path):
    """Return the reader module for `path`, a folder or a file, or None."""
    return next((reader for reader in READERS if reader.matches(path)), None)


def open_scan(path: str | Path) -> Scan:
    """Open a scan, whatever its format.

    Raises:
        GeosetError: nothing is there, the layout is unknown, or no frame is usable.
    """
    path = Path(path)
    if not path.exists():
        raise GeosetError(f"{path}: does not exist; give the folder (or file) of a scan")
    if path.is_dir() and not any(path.iterdir()):
        raise GeosetError(f"{path}: is empty; expected a scan in it, in {_formats()}")
    reader = find_reader(path)
    if reader is None:
        raise GeosetError(
            f"{path}: unknown layout (it holds {_listing(path)}); expected {_formats()}"
        )
    scan = reader.read(path)
    if not scan.frames:
        reasons = count_reasons(scan.rejected).items()
        found = "; ".join(f"{count} x {reason}" for reason, count in reasons) or "no frames at all"
        raise GeosetError(f"{path}: {reader.LAYOUT} layout, but no usable frame ({found})")
    return scan


def find_scans(path: str | Path) -> tuple[list[Path], list[Path]]:
    """Return `path` if it is a scan, or the scans among its sub-folders; and the other sub-folders.

    Both are sorted by name.

    Raises:
        GeosetError: neither it nor any of its sub-folders is a scan.
    """
    path = Path(path)
    if path.is_dir() and find_reader(path) is None:
        below = sorted(p for p in path.iterdir() if p.is_dir())
        scans = [p for p in below if find_reader(p) is not None]
        if scans:
            return scans, [p for p in below if p not in scans]
    elif path.exists():
        return [path], []
    open_scan(path)  # explains what is wrong with it
    raise AssertionError("open_scan accepts what find_reader does not")


def _formats() -> str:
    return "one of these layouts:\n" + "\n".join(
        f"  {reader.LAYOUT}: {reader.LOOKS_FOR}" for reader in READERS
    )


def _listing(path: Path) -> str:
    if path.is_file():
        return f"a {path.suffix or 'plain'} file"
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
