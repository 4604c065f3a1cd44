"""Lists of scenes: which of many scans to use."""

import re
from pathlib import Path
from typing import Literal

from geoset.errors import GeosetError

Split = Literal["train", "val", "test", "all"]

SCANNET_SCENE = re.compile(r"scene\d{4}_\d{2}")


def read_list(path: Path) -> list[str]:
    """Return the names in a text file, one a line, each once, in order.

    Raises:
        GeosetError: the file is missing, unreadable, or names nothing.
    """
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GeosetError(f"{path}: cannot be read ({error}); expected one name a line") from error
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise GeosetError(f"{path}: is empty, expected one name a line")
    return names


def find_list(folder: Path, split: Split) -> Path | None:
    """Return ScanNet's list of a split: in `folder`, beside it, or in Tasks/Benchmark there."""
    for place in (folder, folder.resolve().parent):
        for file in (place / _list_name(split), place / "Tasks/Benchmark" / _list_name(split)):
            if file.is_file():
                return file
    return None


def choose_scans(
    scans: dict[str, Path], folder: Path, split: Split, split_list: Path | None
) -> tuple[dict[str, Path], list[str]]:
    """Return the scans of a split, by name, and a sentence on what was left out, if anything.

    ScanNet's own list of training scenes leaves alone what is not named like a scene of ScanNet.

    Raises:
        GeosetError: the list cannot be found or read, or names none of the scans.
    """
    if split == "all" and split_list is None:
        return scans, []
    file = split_list or find_list(folder, split)
    of_scannet = [name for name in scans if SCANNET_SCENE.fullmatch(name)]
    if file is None and split == "train":
        return scans, [_says_all(folder, len(of_scannet))] if of_scannet else []
    if file is None:
        raise GeosetError(
            f"{folder}: no {_list_name(split)} in it, beside it or in Tasks/Benchmark there, which "
            f"lists the scenes of the {split} split; take it from ScanNet's Tasks/Benchmark folder "
            "(github.com/ScanNet/ScanNet), or name another list"
        )
    listed = set(read_list(file))
    if split_list is None and split == "train":
        listed |= scans.keys() - set(of_scannet)
    chosen = {name: path for name, path in scans.items() if name in listed}
    if not chosen:
        raise GeosetError(
            f"{file}: names none of the {len(scans)} scans in {folder}, such as "
            f"{next(iter(scans))}; expected one name of a scan a line"
        )
    left_out = len(scans) - len(chosen)
    note = f"{left_out} of {len(scans)} scans are left out, not being on {file}"
    if split_list is None:
        note += " (--split all takes all)"
    return chosen, [note] if left_out else []


def _list_name(split: Split) -> str:
    return f"scannetv2_{split}.txt"


def _says_all(folder: Path, count: int) -> str:
    return (
        f"no {_list_name('train')} in {folder}, beside it or in Tasks/Benchmark there: all {count} "
        "scenes of ScanNet are used, those for validation too if they are here"
    )
