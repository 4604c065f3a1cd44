"""Make the pictures of docs/method.md from made-up rooms: `python docs/make_pictures.py`."""

import tempfile
from pathlib import Path

from PIL import Image

from geoset.prepare.scene import PreparedScene
from geoset.recipes import GroupSettings, LayerSettings, PrepareSettings
from geoset.reports.figures import (
    paint_coverage,
    paint_depth,
    paint_sets,
    pair_row,
    tile,
    typical_pair,
)
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks.group import group
from geoset.tasks.layers import add_layers
from geoset.tasks.prepare import prepare

PICTURES = Path(__file__).parent / "pictures"
ROOMS = RoomSettings(frames=12, height=192, width=256)
ROWS = 4  # groups shown


def main() -> None:
    """Prepare three rooms, and draw sets, thresholds, a pair and groups of them."""
    with tempfile.TemporaryDirectory() as folder:
        scans, prepared = Path(folder, "scans"), Path(folder, "prepared")
        for seed in range(3):
            write_room(scans / f"room{seed}", seed, ROOMS)
        prepare(scans, prepared, PrepareSettings(image_size=(ROOMS.height, ROOMS.width)), workers=2)
        add_layers([prepared], LayerSettings(threshold=(0.05, 0.2)))
        group([prepared], GroupSettings(count=30, name="shapes"), Path(folder, "groups.png"))
        scene = PreparedScene(prepared / "room0")
        save(tile([one_frame(scene, 0), thresholds(scene, 0)]), "sets.jpg")
        save(tile([pair_row(scene, typical_pair(scene))]), "pair.jpg")
        sheet = Image.open(Path(folder, "groups.png"))
        save(sheet.crop((0, 0, sheet.width, sheet.height * ROWS // 24)), "groups.jpg")


def one_frame(scene: PreparedScene, i: int):
    """Return what is known of frame i: colour, depth, and where pixels see the surface."""
    image, depth, seen = scene.image(i), scene.depth(i), scene.vertex_map(i) >= 0
    return [
        ("colour", image),
        ("depth", paint_depth(depth)),
        ("green: sees a vertex", paint_coverage(image, depth, seen)),
    ]


def thresholds(scene: PreparedScene, i: int):
    """Return the sets of frame i at growing thresholds."""
    layers = {"k = 0.01": "geometric", "k = 0.05": "geometric-0.05", "k = 0.2": "geometric-0.2"}
    return [
        (f"sets, {caption}", paint_sets(scene.image(i), scene.set_map(i, layer)))
        for caption, layer in layers.items()
    ]


def save(picture: Image.Image, name: str) -> None:
    """Save a picture for the pages."""
    picture.convert("RGB").save(PICTURES / name, quality=88, optimize=True)


if __name__ == "__main__":
    main()
