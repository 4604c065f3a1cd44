"""Which format a path holds."""

from pathlib import Path
from typing import NamedTuple

from geoset.errors import GeosetError
from geoset.scans import (
    arkit,
    folders,
    nerfstudio,
    polycam,
    redwood,
    replica,
    scannet,
    scannetpp,
    seven_scenes,
    tum,
)
from geoset.scans.decode import unreadable, visible
from geoset.scans.scan import Scan, count_reasons, scan_name
from geoset.scans.splits import Split, choose_scans

READERS = (  # the first that matches reads
    scannet,
    scannetpp,
    polycam,
    nerfstudio,
    seven_scenes,
    tum,
    replica,
    arkit,
    folders,
    redwood,
)


def find_reader(path: Path):
    """Return the reader module for `path`, a folder or a file; None also if it may not be read."""
    try:
        return next((reader for reader in READERS if reader.matches(path)), None)
    except OSError:
        return None


def open_scan(path: str | Path) -> Scan:
    """Open a scan, whatever its format.

    Raises:
        GeosetError: nothing is there, the layout is unknown, or no frame is usable.
    """
    path = Path(path)
    if not path.exists():
        raise GeosetError(f"{path}: does not exist; give the folder (or file) of a scan")
    reader = find_reader(path)
    if reader is None:
        raise GeosetError(_why_unknown(path))
    scan = reader.read(path)
    if not scan.frames:
        reasons = count_reasons(scan.rejected).items()
        found = "; ".join(f"{count} x {reason}" for reason, count in reasons) or "no frames at all"
        raise GeosetError(f"{path}: {reader.LAYOUT} layout, but no usable frame ({found})")
    return scan


class FoundScans(NamedTuple):
    """What a folder holds: scans and other sub-folders, sorted by name.

    notes: on scans that were left out, a sentence each
    """

    scans: list[Path]
    others: list[Path]
    notes: list[str]


def find_scans(
    path: str | Path, split: Split = "train", split_list: Path | None = None
) -> FoundScans:
    """Return `path` if it is a scan, or those among its sub-folders and files.

    Of ScanNet's scenes only those of a split are taken, where ScanNet's lists are found: in the
    folder, beside it, or in Tasks/Benchmark there. Without lists all are taken.

    Args:
        path: a scan, which is taken whatever its split, or a folder of scans
        split: of ScanNet, "all" takes every scan
        split_list: a file of names of scans, one a line, to use instead of ScanNet's

    Raises:
        GeosetError: there is no scan, none of the split, no list of it, or two scans of one name.
    """
    path = Path(path)
    if path.is_dir() and find_reader(path) is None:
        is_scan = {p: find_reader(p) is not None for p in _below(path)}
        found = [p for p in is_scan if is_scan[p]]
        if found:
            scans, notes = choose_scans(_by_name(found), path, split, split_list)
            others = [p for p in is_scan if not is_scan[p] and p.is_dir()]
            return FoundScans(list(scans.values()), others, notes)
    elif path.exists():
        return FoundScans([path], [], [])
    open_scan(path)  # explains what is wrong with it
    raise AssertionError("open_scan accepts what find_reader does not")


def _by_name(scans: list[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in scans:
        if (other := named.setdefault(scan_name(path), path)) is not path:
            raise GeosetError(
                f"{other} and {path}: two scans of one name; move one of them, or rename it"
            )
    return named


def _below(path: Path) -> list[Path]:
    """Return what lies in a folder, sorted."""
    try:
        return visible(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _why_unknown(path: Path) -> str:
    """Say what is at `path` instead of a scan, and what would be one."""
    names = [below.name for below in _below(path)] if path.is_dir() else None
    if names is None:
        found = f"unknown layout (it holds a {path.suffix or 'plain'} file); expected"
    elif names:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        found = f"unknown layout (it holds {some}); expected"
    else:
        found = "is empty; expected a scan in it, in"
    width = max(len(reader.LAYOUT) for reader in READERS)
    lines = "\n".join(f"  {reader.LAYOUT:{width}}  {reader.LOOKS_FOR}" for reader in READERS)
    return (
        f"{path}: {found} one of these layouts:\n{lines}\n"
        f"Frames of your own: export them as '{folders.LAYOUT}'. A folder of scans works too"
    )
