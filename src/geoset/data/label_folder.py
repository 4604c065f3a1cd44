"""Any labelled images: a folder of images, one of label images, and a list of classes."""

import re
from collections import Counter
from pathlib import Path

from geoset.data.label_files import NO_LABEL_IMAGE, LabelledFile, LabelledFiles, class_table
from geoset.data.label_set import Selection, first_share
from geoset.errors import GeosetError
from geoset.scans.decode import IMAGE_SUFFIXES
from geoset.scans.splits import read_list

LAYOUT = "label folder"
LOOKS_FOR = (
    "images/*.jpg|png, labels/*.png of the same names (8 or 16 bit), classes.txt ('id name' a "
    "line, or names: line k is id k, and 0 or 255 no label), optional instances/*.png (0 = none), "
    "train.txt and val.txt"
)

IGNORED_IDS = (0, 255)  # unless the list of classes has them
SPLIT_LISTS = ("train.txt", "val.txt", "test.txt")


def matches(path: Path) -> bool:
    """Tell whether `path` holds `images/` and `labels/`."""
    return (path / "images").is_dir() and (path / "labels").is_dir()


def read(path: Path, selection: Selection) -> LabelledFiles:
    """Read the images of a split; without any list, `train` is the whole folder.

    Raises:
        GeosetError: the list of classes or of the split is missing or wrong.
    """
    classes, ids, is_closed = _read_classes(path / "classes.txt")
    images, labels, instances = (_by_name(path / f) for f in ("images", "labels", "instances"))
    names = _split(path, selection, sorted(images))
    files = [
        LabelledFile(name, images[name], labels[name], instances.get(name))
        for name in names
        if name in labels
    ]
    return LabelledFiles(
        name=selection.describe(path.resolve().name),
        classes=classes,
        instance_classes=classes if instances else (),
        files=first_share([[file] for file in files], selection.share),
        class_of_id=class_table(ids, IGNORED_IDS),
        instance_class_of_id=class_table(ids, IGNORED_IDS),
        packed=False,
        skipped=+Counter({NO_LABEL_IMAGE: len(names) - len(files)}),
        class_list=path / "classes.txt" if is_closed else None,
    )


def _read_classes(file: Path) -> tuple[tuple[str, ...], list[int], bool]:
    """Return names, ids, and whether the ids are all there may be: names by line, without ids."""
    try:
        lines = [line.strip() for line in file.read_text().rstrip().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise GeosetError(
            f"{file}: cannot be read ({error}); expected the classes, 'id name' or a name a line"
        ) from error
    numbered = [re.fullmatch(r"(\d+)(?:\s+(.*))?", line) for line in lines]
    has_ids = numbered[0] is not None
    ids, names = [], []
    for number, (line, match) in enumerate(zip(lines, numbered, strict=True), 1):
        name = line if not has_ids else match and match[2]
        if not name:
            expected = "'id name', as in line 1" if has_ids else "the name of a class"
            raise GeosetError(
                f"{file}: line {number} is '{line}', an empty class; expected {expected}. Name the "
                "class, or remove the line"
            )
        names.append(name)
        ids.append(int(match[1]) if has_ids else number)
    for kind, values in (("name", names), ("id", ids)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise GeosetError(f"{file}: has the {kind} '{twice}' twice, expected each once")
    if max(ids) >= 2**16:
        raise GeosetError(f"{file}: has the id {max(ids)}, expected at most 65535, 16 bits")
    return tuple(names), ids, not has_ids


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the image files below a folder by path without suffix."""
    files = [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    found = {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    if len(found) < len(files):
        twice = next(file for file in files if file not in found.values())
        raise GeosetError(
            f"{twice}: is there with another suffix as well; expected one file a name, remove one"
        )
    return found


def _split(path: Path, selection: Selection, images: list[str]) -> list[str]:
    """Return the names of the images of a split, in list order."""
    listed = selection.split_file or path / f"{selection.split}.txt"
    has_lists = any((path / name).is_file() for name in SPLIT_LISTS)
    if selection.split_file is None and (
        selection.split == "all" or (selection.split == "train" and not has_lists)
    ):
        return images
    if not listed.is_file():
        raise GeosetError(
            f"{listed}: file is missing, which lists the images of the {selection.split} split; "
            "write it (a name a line), or take the split 'all' of a folder that is one split"
        )
    names = [_without_suffix(name) for name in read_list(listed)]
    lost = sorted(set(names) - set(images))
    if lost:
        raise GeosetError(
            f"{listed}: names {lost[0]} ({len(lost)} of {len(names)} names), which is not in "
            f"{path / 'images'}; write paths below that folder, with or without suffix"
        )
    return names


def _without_suffix(name: str) -> str:
    path = Path(name)
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()
