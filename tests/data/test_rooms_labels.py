"""Made-up rooms as labelled data."""

import numpy as np
import pytest
from PIL import Image

from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room

SETTINGS = RoomSettings(frames=2, height=24, width=32)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Six rooms of two frames."""
    folder = tmp_path_factory.mktemp("rooms")
    for seed in range(6):
        write_room(folder / f"room-{seed}", seed, SETTINGS)
    return folder


def names_of(labelled):
    return [labelled.image_id(i).split("/")[0] for i in range(0, len(labelled), 2)]


def links(rooms, folder):
    for room in rooms.iterdir():
        (folder / room.name).symlink_to(room)
    return folder


def test_labels_and_instances(rooms):
    found = open_labelled(rooms, "all")
    assert len(found) == 12
    assert found.classes == ROOM_CLASSES
    things = tuple(c for c in ROOM_CLASSES if c not in ("wall", "floor", "ceiling"))
    assert found.instance_classes == things
    for i in range(len(found)):
        scene, name = found.image_id(i).split("/")
        label = np.asarray(Image.open(rooms / scene / f"label/{name}.png")).astype(int)
        assert np.array_equal(found.semantic(i), label - 1)
        masks, classes, _ = found.instances(i)
        assert not (masks.sum(axis=0) > 1).any()
        # every pixel of a thing is of one instance, and of its class
        countable = label > 3
        assert np.array_equal(masks.any(axis=0), countable)
        for mask, k in zip(masks, classes, strict=True):
            assert set(label[mask]) == {ROOM_CLASSES.index(things[k]) + 1}
        numbers = np.asarray(Image.open(rooms / scene / f"instance/{name}.png"))
        assert len(masks) == len(np.unique(numbers[countable]))


def test_every_fifth_room_is_held_out(rooms):
    assert names_of(open_labelled(rooms, "val")) == ["room-4"]
    assert names_of(open_labelled(rooms, "train")) == [f"room-{k}" for k in (0, 1, 2, 3, 5)]
    assert names_of(open_labelled(rooms, "train", share=0.4)) == ["room-0", "room-1"]


def test_a_room_by_itself(rooms):
    assert names_of(open_labelled(rooms / "room-3", "train")) == ["room-3"]
    with pytest.raises(GeosetError, match=r"no val.txt, and its 1 rooms have no val split"):
        open_labelled(rooms / "room-3", "val")


def test_lists_of_rooms(rooms, tmp_path):
    folder = links(rooms, tmp_path)
    (folder / "train.txt").write_text("room-4\nroom-0\n")
    assert names_of(open_labelled(folder, "train")) == ["room-4", "room-0"]
    with pytest.raises(
        GeosetError, match=r"no val.txt, and .*write val.txt with the names of rooms"
    ):
        open_labelled(folder, "val")
    (folder / "val.txt").write_text("room-9\n")
    with pytest.raises(GeosetError, match=r"val.txt: names room-9, but .* is no room"):
        open_labelled(folder, "val")


def test_an_unfinished_room_is_counted(rooms, tmp_path):
    folder = links(rooms, tmp_path)
    (folder / "unfinished").mkdir()
    (folder / "unfinished/room.json").write_text("{}")
    assert open_labelled(folder, "all").skipped == {"room that is not finished": 1}
