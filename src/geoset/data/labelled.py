"""Labelled data, whatever its layout."""

from pathlib import Path

from geoset.data import coco, label_folder, nyuv2, rooms_labels, scannet
from geoset.data.label_set import Instances, LabelledSet, LabelSource, Selection
from geoset.errors import GeosetError
from geoset.scans.splits import Split

__all__ = ["Instances", "LabelledSet", "open_labelled"]

READERS = (nyuv2, coco, rooms_labels, label_folder, scannet)  # the first that matches reads


def open_labelled(
    path: str | Path,
    split: Split,
    *,
    share: float = 1.0,
    split_file: Path | None = None,
    nyu_classes: int = 13,
) -> LabelSource:
    """Open a split of labelled data, whatever its layout. Images and labels are read when asked.

    Args:
        path: a folder, or the file that holds everything (.mat, .json).
        split: "all" is everything that is there, of whatever split.
        share: in (0, 1], the first part of the images: the fewest scenes, in the order of the
            list, that hold at least this share; images where there are no scenes.
        split_file: the scenes or images of the split, instead of the list beside the data.
        nyu_classes: 13 or 40, for NYUv2.

    Raises:
        GeosetError: nothing is there, the layout is unknown, a list is missing or names nothing
            that is there, or no pixel (no instance, in COCO) has a label.
    """
    path, selection = Path(path), Selection(split, share, split_file, nyu_classes)
    if not path.exists():
        raise GeosetError(f"{path}: does not exist; give the folder of labelled images")
    reader = next((reader for reader in READERS if reader.matches(path)), None)
    if reader is None:
        layouts = "\n".join(f"  {reader.LAYOUT}: {reader.LOOKS_FOR}" for reader in READERS)
        raise GeosetError(
            f"{path}: no labelled data of a known layout (it holds {_listing(path)}); expected one "
            f"of these layouts:\n{layouts}"
        )
    labelled = reader.read(path, selection)
    if len(labelled) == 0:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in labelled.skipped.items())
        raise GeosetError(
            f"{path}: the {split} split of this {reader.LAYOUT} data has no labelled image "
            f"({reasons or 'none is there'}); expected {reader.LOOKS_FOR}"
        )
    if labelled.classes:
        _check_labels(path, labelled)
    return labelled


def _check_labels(path: Path, labelled: LabelSource) -> None:
    """Raise GeosetError if the class map covers no pixel of the whole set."""
    ids = set()
    for i in range(len(labelled)):  # ends with the first image, unless something is wrong
        if (labelled.semantic(i) >= 0).any():
            return
        ids |= labelled.unknown_ids(i).keys()
    found = ", ".join(map(str, sorted(ids)[:10])) or "only those that mean no label"
    raise GeosetError(
        f"{path}: no labelled pixel in any of the {len(labelled)} label images; their ids are "
        f"{found}. Expected ids of the {len(labelled.classes)} classes {labelled.classes[0]}, ..., "
        f"{labelled.classes[-1]}; check the list of classes, and that these are label images"
    )


def _listing(path: Path) -> str:
    if path.is_file():
        return f"a {path.suffix or 'plain'} file"
    names = sorted(file.name for file in path.iterdir())
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "nothing"
