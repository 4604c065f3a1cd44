"""Preparing two small rooms without furniture, `a` and `b`, of six frames each."""

import io

from rich.console import Console

from folder_contents import contents
from geoset.recipes import PrepareSettings
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks.prepare import prepare

SETTINGS = PrepareSettings(image_size=(48, 64), min_overlap=0.1)
OPTIONS = ["--image-size", "48", "64", "--min-overlap", "0.1"]  # the same on the command line


def write_two_rooms(folder):
    room = RoomSettings(frames=6, height=48, width=64, furniture=(0, 0))
    write_room(folder / "a", 3, room)
    write_room(folder / "b", 4, room)
    return folder


def prepare_quietly(scans, out, settings=SETTINGS, workers=1, **engine):
    """Prepare; return the summary and what was printed."""
    text = io.StringIO()
    summary = prepare(scans, out, settings, workers, Console(file=text, width=200), **engine)
    return summary, text.getvalue()


def scenes_in(folder):
    """Return the files of prepared scenes; reports tell of times too."""
    return contents(folder, but="report*.json")
