"""Make the pictures of docs/viewer.md in Chromium: `python docs/make_viewer_picture.py [SCAN]`.

Of a made-up room, with names; of SCAN, if one is given, with its sets.
"""

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

PICTURES = Path(__file__).parent / "pictures"
ROOM = RoomSettings(frames=30, height=144, width=192)
SIZE = (1200, 640)
NAMED = ("wall", "floor", "bed", "chair", "table")
LEAST = 300  # vertices of a set that is named
OPAQUE = "[...document.querySelectorAll('canvas')].every(e => getComputedStyle(e).opacity == 1)"
CLOSE = "document.querySelectorAll('.mantine-Notification-closeButton').forEach(e => e.click())"


def main() -> None:
    """Draw a room of which some sets are named, or the sets of a scan."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if scan := sys.argv[1:]:
            prepare(Path(*scan), folder / "prepared", PrepareSettings(image_size=(96, 128)))
            draw(folder, "sets: geometric", PICTURES / "viewer-scan.jpg")
            return
        write_room(folder / "scans" / "room", 1, ROOM)
        settings = PrepareSettings(image_size=(ROOM.height, ROOM.width))
        prepare(folder / "scans", folder / "prepared", settings)
        add_layers([folder / "prepared"], LayerSettings(images="semantic"))
        draw(folder, NAMES, PICTURES / "viewer.jpg")


def draw(folder: Path, coloring: str, picture: Path) -> None:
    """Look at the prepared scene of a folder in Chromium, coloured so, and save what is seen."""
    (scene,) = (folder / "prepared").glob("*/scene.json")
    session = Session([PreparedScene(scene.parent)], folder / "labels")
    if coloring == NAMES:
        name_sets(session)
    window = Window(session, "localhost", 8080)
    window.coloring.value = coloring
    window.cameras.value = False
    try:
        address = f"http://localhost:{window.port}/"
        with Browser(address, folder / "profile", SIZE) as page:
            tab, shown = ("Names", "Undo") if coloring == NAMES else ("Surface", "See all of it")
            until(lambda: page.click(tab) or page.shows(shown))
            page.run(CLOSE)  # that no graphics card is there
            until(lambda: page.run(OPAQUE))
            seen = page.picture()
    finally:
        window.stop()
    Image.fromarray(seen).save(picture, quality=85, optimize=True)


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
