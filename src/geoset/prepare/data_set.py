"""Folders of prepared scenes, here or elsewhere: finding the scenes, copying one there, the index.

index.json   {"scenes": {<name>: {"sets": [<file>, ...], "groups": [...]}}}; HTTP lists no folders,
             so that scenes, layers and groupings are found by it there. Elsewhere it is not read.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from geoset.errors import GeosetError
from geoset.prepare.layers import drop_layers_of_before
from geoset.prepare.scene import PreparedScene
from geoset.prepare.storage import (
    INDEX,
    Folder,
    LocalFolder,
    RemoteFolder,
    is_url,
    open_folder,
)
from geoset.prepare.transfer import at_once

SUB_FOLDERS = ("sets", "groups")


def find_scenes(paths: Iterable[str | Path]) -> list[str | Path]:
    """Return the prepared scenes among `paths` and their sub-folders, each once, sorted by name.

    Paths are folders or URLs, and so are the scenes.

    Raises:
        GeosetError: one of the paths holds none, or two scenes bear one name.
    """
    found: dict[str, tuple[str, str | Path]] = {}
    for path in paths:
        scenes = _scenes_in(open_folder(path))
        if not scenes:
            raise GeosetError(
                f"{path}: holds no prepared scene (no scene.json in it or one level below); make "
                "one with: geoset prepare SCANS OUT"
            )
        for scene in scenes:
            name = open_folder(scene).name
            place = scene if is_url(scene) else str(Path(scene).resolve())
            before, first = found.setdefault(name, (place, scene))
            if before != place:
                raise GeosetError(
                    f"{first} and {scene}: two scenes of one name, by which a run tells them "
                    "apart; rename the folder of one"
                )
    return [found[name][1] for name in sorted(found)]


def open_scenes(paths: Iterable[str | Path]) -> list[PreparedScene]:
    """Open the prepared scenes that `find_scenes` finds."""
    return at_once(PreparedScene, find_scenes(paths))


def _scenes_in(folder: Folder) -> list[str | Path]:
    if isinstance(folder, LocalFolder):
        path = folder.path
        here = [path] if (path / "scene.json").is_file() else []
        return here or sorted(p.parent for p in path.glob("*/scene.json"))
    if folder.exists("scene.json"):
        return [folder.url]
    names = folder.names()
    finished = at_once(lambda name: folder.exists(f"{name}/scene.json"), names)
    return [folder.place(name) for name, is_scene in zip(names, finished, strict=True) if is_scene]


def publish_scene(folder: Path, url: str) -> list[str]:
    """Copy a prepared scene to a URL; there it exists once all of it has arrived.

    Returns notes on layers there that were untrue of it, and are gone.

    Raises:
        GeosetError: `folder` holds no finished scene, or the URL cannot be written.
    """
    scene, there = PreparedScene(folder), RemoteFolder(url)
    there.remove("scene.json")
    dropped = drop_layers_of_before(there, scene.info["files"]["surface.ply"]["sha256"])
    stamped = [f"{sub}/{name}" for sub in SUB_FOLDERS for name in scene.folder.names(sub)]
    for name in [*scene.info["files"], *stamped, "scene.json"]:
        there.send(folder / name, name)
    return [dropped[name] for name in dropped if f"sets/{name}.npy" not in stamped]


def write_index(folder: Folder) -> None:
    """Write `index.json` of a folder of prepared scenes."""
    scenes = [open_folder(scene) for scene in _scenes_in(folder)]
    entries = at_once(lambda scene: {sub: scene.names(sub) for sub in SUB_FOLDERS}, scenes)
    index = {"scenes": {scene.name: entry for scene, entry in zip(scenes, entries, strict=True)}}
    with folder.writing(INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1, sort_keys=True))


def refresh_indexes(paths: Iterable[str | Path]) -> None:
    """Write the index anew where folders of scenes, given or of scenes that are given, have one."""
    folders = map(open_folder, paths)
    data_sets = [each.parent if each.exists("scene.json") else each for each in folders]
    for data_set in {str(each): each for each in data_sets}.values():
        if data_set.exists(INDEX):
            write_index(data_set)
