"""Made-up rooms as labelled data: a room, or a folder of rooms."""

from collections import Counter
from pathlib import Path

from geoset.data.label_files import NO_LABEL_IMAGE, LabelledFiles, class_table, scene_files
from geoset.data.label_set import Selection, first_share
from geoset.errors import GeosetError
from geoset.scans.rooms import ROOM_CLASSES
from geoset.scans.splits import read_list

LAYOUT = "rooms"
LOOKS_FOR = "room.json, or sub-folders that have it; train.txt and val.txt may list rooms"

NOT_COUNTABLE = ("wall", "floor", "ceiling")
VAL_EVERY = 5  # without lists, rooms 5, 10, ... by name are the val split, the others train
UNFINISHED = "room that is not finished"


def matches(path: Path) -> bool:
    """Tell whether `path` is a room or holds rooms."""
    return (path / "room.json").is_file() or any(path.glob("*/room.json"))


def read(path: Path, selection: Selection) -> LabelledFiles:
    """Read the rooms of a split.

    Raises:
        GeosetError: the list of the split is missing, names a room that is not there, or a split
            by number leaves no room.
    """
    rooms, skipped = [], Counter()
    for room in _rooms(path, selection):
        files, unlabelled = scene_files(room)
        finished = (room / "classes.txt").is_file()  # it is written last
        skipped[UNFINISHED] += not finished
        skipped[NO_LABEL_IMAGE] += unlabelled
        rooms.append(files if finished else [])
    things = [name for name in ROOM_CLASSES if name not in NOT_COUNTABLE]
    ignored = range(len(ROOM_CLASSES) + 1)
    return LabelledFiles(
        name=selection.describe(LAYOUT),
        classes=ROOM_CLASSES,
        instance_classes=tuple(things),
        files=first_share(rooms, selection.share),
        class_of_id=class_table(range(1, len(ROOM_CLASSES) + 1)),
        instance_class_of_id=class_table((ROOM_CLASSES.index(t) + 1 for t in things), ignored),
        packed=True,
        skipped=+skipped,
    )


def _rooms(path: Path, selection: Selection) -> list[Path]:
    """Return the rooms of the split: of its list, or by number where there are no lists."""
    listed = selection.split_file or path / f"{selection.split}.txt"
    if listed.is_file() or selection.split_file:
        rooms = [path / name for name in read_list(listed)]
        for room in rooms:
            if not (room / "room.json").is_file():
                raise GeosetError(
                    f"{listed}: names {room.name}, but {room} is no room; write the names of the "
                    "rooms' folders, one a line"
                )
        return rooms
    below = sorted(file.parent for file in path.glob("*/room.json"))
    rooms = below or [path]
    held_out = rooms[VAL_EVERY - 1 :: VAL_EVERY]
    by_split = {"all": rooms, "val": held_out, "train": [r for r in rooms if r not in held_out]}
    if (path / "train.txt").is_file() or (path / "val.txt").is_file():
        by_split = {"all": rooms}
    if not by_split.get(selection.split):
        raise GeosetError(
            f"{path}: no {listed.name}, and its {len(rooms)} rooms have no {selection.split} split "
            f"of their own (without lists every {VAL_EVERY}th room is val, the others train); "
            f"write {listed.name} with the names of rooms, or take the split 'all'"
        )
    return by_split[selection.split]
