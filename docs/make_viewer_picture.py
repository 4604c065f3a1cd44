"""Make the picture of docs/viewer.md in Chromium: `python docs/make_viewer_picture.py`."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from geoset.prepare.scene import PreparedScene
from geoset.recipes import LayerSettings, PrepareSettings
from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room
from geoset.tasks.layers import add_layers
from geoset.tasks.prepare import prepare
from geoset.viewer.session import NAMES, Session
from geoset.viewer.window import Window

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import Browser, until

PICTURE = Path(__file__).parent / "pictures" / "viewer.jpg"
ROOM = RoomSettings(frames=30, height=144, width=192)
SIZE = (1200, 640)
NAMED = ("wall", "floor", "bed", "chair", "table")
LEAST = 300  # vertices of a set that is named
OPAQUE = "[...document.querySelectorAll('canvas')].every(e => getComputedStyle(e).opacity == 1)"
CLOSE = "document.querySelectorAll('.mantine-Notification-closeButton').forEach(e => e.click())"


def main() -> None:
    """Prepare a room, name some of its sets, and look at it under Names."""
    with tempfile.TemporaryDirectory() as folder:
        write_room(Path(folder, "scans", "room"), 1, ROOM)
        prepared = Path(folder, "prepared")
        settings = PrepareSettings(image_size=(ROOM.height, ROOM.width))
        prepare(Path(folder, "scans"), prepared, settings)
        add_layers([prepared], LayerSettings(images="semantic"))
        session = Session([PreparedScene(prepared / "room")], Path(folder, "labels"))
        name_sets(session)
        window = Window(session, "localhost", 8080)
        window.coloring.value = NAMES
        window.cameras.value = False
        try:
            address = f"http://localhost:{window.port}/"
            with Browser(address, Path(folder, "profile"), SIZE) as page:
                until(lambda: page.click("Names") or page.shows("Undo"))
                page.run(CLOSE)  # that no graphics card is there
                until(lambda: page.run(OPAQUE))
                picture = page.picture()
        finally:
            window.stop()
    Image.fromarray(picture).save(PICTURE, quality=85, optimize=True)


def name_sets(session: Session) -> None:
    """Name large sets after what most of their vertices are, for some classes."""
    scene = session.scene
    sets, classes = scene.sets(), scene.sets("semantic")
    for label in range(sets.max() + 1):
        ids = classes[(sets == label) & (classes > 0)]  # of which 1 is the first
        name = ROOM_CLASSES[np.bincount(ids).argmax() - 1] if len(ids) >= LEAST else None
        if name in NAMED:
            session.names.name("geometric", label, name)


if __name__ == "__main__":
    main()
