"""First labels: names given to sets of prepared scenes, and the label images that follow.

A folder of labels holds, besides what `geoset.data.label_folder` reads,

named_sets/<scene>.json  which sets were given which names, so that naming goes on another day
vertices/<scene>.npy     (V,) int32, the class id of each vertex, -1 = none: a layer, once
                         `geoset layers PREPARED --labels FOLDER/vertices` has added it
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from geoset.errors import GeosetError
from geoset.files import atomic_path, atomic_write
from geoset.prepare.scene import PreparedScene
from geoset.prepare.stamped import checksum

MOST_CLASSES = 254  # 0 and 255 of an 8-bit label image are no label
VAL_EVERY = 5  # of the frames, one in five is for validation


class NamedSet(NamedTuple):
    """A set by its layer and label, and its name; the empty name takes names away."""

    layer: str
    label: int
    name: str


class NamedSets:
    """Names given to sets of a scene, one after the other; of two on a vertex the later counts.

    Sets of several layers can be named: coarse ones first, then what is finer within them.
    """

    def __init__(self, scene: PreparedScene):
        self.scene = scene
        self.given: list[NamedSet] = []

    def name(self, layer: str, label: int, name: str) -> NamedSet:
        """Name a set; "" takes the name of its vertices away.

        Raises:
            GeosetError: there is no such layer, or no such set in it.
        """
        if not (self.scene.sets(layer) == label).any():
            raise GeosetError(f"{self.scene.path}: layer '{layer}' has no set {label}")
        self.given.append(NamedSet(layer, int(label), " ".join(name.split())))
        return self.given[-1]

    def undo(self) -> NamedSet | None:
        """Take the last name back and return it; None if there is none."""
        return self.given.pop() if self.given else None

    @property
    def classes(self) -> list[str]:
        """The names that some vertex bears, sorted."""
        names = sorted({entry.name for entry in self.given} - {""})
        present = np.unique(self.class_of_vertex(names))
        return [names[index] for index in present if index >= 0]

    def class_of_vertex(self, classes: Sequence[str]) -> np.ndarray:
        """Return (V,) int32 indices into `classes`, -1 = none."""
        index = {name: number for number, name in enumerate(classes)}
        found = np.full(self.scene.info["surface"]["vertices"], -1, dtype=np.int32)
        for layer, label, name in self.given:
            found[self.scene.sets(layer) == label] = index.get(name, -1)
        return found

    def save(self, folder: Path) -> None:
        """Write the names to `folder`/named_sets."""
        layers = sorted({entry.layer for entry in self.given})
        content = {
            "layers": {layer: _layer_sha256(self.scene, layer) for layer in layers},
            "named": self.given,
        }
        atomic_write(_names_file(folder, self.scene.name), json.dumps(content, indent=1))


def load_names(scene: PreparedScene, folder: Path) -> NamedSets:
    """Read the names of a scene from a folder of labels; none if it has none.

    Raises:
        GeosetError: the file cannot be read, or a layer has changed since sets of it were named.
    """
    file, named = _names_file(folder, scene.name), NamedSets(scene)
    if not file.is_file():
        return named
    try:
        content = json.loads(file.read_text())
        layers = dict(content["layers"])
        given = [NamedSet(str(layer), int(k), str(name)) for layer, k, name in content["named"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeosetError(
            f"{file}: cannot be read ({error!r}); remove it to name the scene's sets anew"
        ) from error
    for layer in {entry.layer for entry in given}:
        if _layer_sha256(scene, layer) != layers.get(layer):
            raise GeosetError(
                f"{file}: names sets of layer '{layer}', which {scene.path} has made anew since, "
                "so that the names are of other sets. Choose another --out"
            )
    for entry in given:
        named.name(*entry)
    return named


def check_all_open(scenes: Sequence[PreparedScene], folder: Path) -> None:
    """Refuse a folder of labels that has names of other scenes too, or was not made here.

    Their label images would be left with the class ids of an earlier list.

    Raises:
        GeosetError: naming them.
    """
    have = {file.stem for file in (folder / "named_sets").glob("*.json")}
    made_here = have or (folder / "vertices").is_dir()
    if not made_here and (folder / "classes.txt").exists():
        raise GeosetError(
            f"{folder}: holds labels that were not made here; their classes.txt and lists would be "
            "lost. Choose another --out"
        )
    others = sorted(have - {scene.name for scene in scenes})
    if others:
        raise GeosetError(
            f"{folder}: has names for scenes that are not open ({', '.join(others)}); open them "
            "as well, or choose another --out"
        )


@dataclass(frozen=True)
class LabelExport:
    """What was exported: class names in order of their ids 1, 2, ...; frames by split."""

    classes: list[str]
    train: list[str]
    val: list[str]

    def __str__(self) -> str:
        return (
            f"{len(self.train)} frames for training, {len(self.val)} for validation, "
            f"{len(self.classes)} classes: {', '.join(self.classes)}"
        )


def export_labels(scenes: Sequence[NamedSets], folder: Path) -> LabelExport:
    """Write label images of all frames that see named sets, and all that fine-tuning asks for.

    Images are called <scene>/<number of the frame>, and are the stored JPEGs. A pixel without a
    named set is 0, no label. What an earlier export left of the scenes' other frames is removed.

    Raises:
        GeosetError: fewer than two classes or frames, too many classes, or names of scenes that
            are not given.
    """
    check_all_open([named.scene for named in scenes], folder)
    classes = sorted({name for named in scenes for name in named.classes})
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise GeosetError(
            f"{len(classes)} classes are named ({', '.join(classes[:8]) or 'none'}), expected 2 to "
            f"{MOST_CLASSES}; name sets of at least two kinds, then export"
        )
    concerned = [n for n in scenes if n.given or _names_file(folder, n.scene.name).is_file()]
    frames = [name for named in concerned for name in _export_scene(named, classes, folder)]
    if len(frames) < 2:
        raise GeosetError(
            f"{len(frames)} frame sees named sets, expected at least 2, one for each split; name "
            "sets that more frames see"
        )
    val = frames[VAL_EVERY - 1 :: VAL_EVERY] or frames[-1:]
    held_out = set(val)
    train = [name for name in frames if name not in held_out]
    lists = {"train.txt": train, "val.txt": val}
    lists["classes.txt"] = [f"{number} {name}" for number, name in enumerate(classes, 1)]
    for name, lines in lists.items():
        atomic_write(folder / name, "".join(f"{line}\n" for line in lines))
    return LabelExport(classes, train, val)


def _export_scene(named: NamedSets, classes: Sequence[str], folder: Path) -> list[str]:
    """Write the images of a scene; return the names of the frames that have a label."""
    scene, frames = named.scene, []
    index = named.class_of_vertex(classes)
    ids = np.where(index < 0, -1, index + 1).astype(np.int32)
    file = folder / "vertices" / f"{scene.name}.npy"
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, ids)
    for i, frame in enumerate(scene.info["frames"]):
        name = f"{scene.name}/{i:06d}"
        image, label = folder / f"images/{name}.jpg", folder / f"labels/{name}.png"
        vertex_map = scene.vertex_map(i)
        labels = np.where(vertex_map >= 0, ids[vertex_map], 0).clip(min=0).astype(np.uint8)
        if not labels.any():
            image.unlink(missing_ok=True)
            label.unlink(missing_ok=True)
            continue
        stored = scene.info["files"]["frames.tar"]
        jpeg = scene.folder.read_member("frames.tar", stored, frame["members"], "image")
        atomic_write(image, jpeg)
        png = io.BytesIO()
        Image.fromarray(labels).save(png, "PNG")
        atomic_write(label, png.getvalue())
        frames.append(name)
    return frames


def _names_file(folder: Path, scene: str) -> Path:
    return folder / "named_sets" / f"{scene}.json"


def _layer_sha256(scene: PreparedScene, layer: str) -> str:
    return checksum(scene.folder, f"sets/{layer}")["sha256"]
