"""ScanNet's `scannet_frames_25k`: 20 semantic classes, 18 of instances."""

from collections import Counter
from pathlib import Path

from geoset.data.label_files import NO_LABEL_IMAGE, LabelledFiles, class_table, scene_files
from geoset.data.label_set import Selection, first_share
from geoset.data.nyu40 import NYU40
from geoset.errors import GeosetError
from geoset.scans.splits import find_list, read_list

LAYOUT = "ScanNet"
LOOKS_FOR = (
    "scannet_frames_25k/ or its content: <scene>/color/*.jpg, label/*.png (nyu40 ids), "
    "instance/*.png; scannetv2_train.txt and scannetv2_val.txt in it or beside it"
)

IDS = (*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39)  # of nyu40, in the benchmark's order
CLASSES = tuple(NYU40[number - 1] for number in IDS)
NOT_COUNTABLE = 2  # wall and floor come first and have no instances
SCENE_IS_MISSING = "scene of the list is not there"


def matches(path: Path) -> bool:
    """Tell whether `path` holds scenes with colour and label images."""
    scenes = _frames_folder(path).glob("*")
    return any((scene / "color").is_dir() and (scene / "label").is_dir() for scene in scenes)


def read(path: Path, selection: Selection) -> LabelledFiles:
    """Read the scenes of a split that are there.

    Raises:
        GeosetError: the list of scenes is missing, or none of its scenes is there.
    """
    folder = _frames_folder(path)
    names = _scene_names(folder, selection)
    scenes, skipped = [], Counter()
    for name in names:
        files, unlabelled = scene_files(folder / name)
        scenes.append(files)
        skipped[SCENE_IS_MISSING] += not (folder / name).is_dir()
        skipped[NO_LABEL_IMAGE] += unlabelled
    if skipped[SCENE_IS_MISSING] == len(names):
        raise GeosetError(
            f"{folder}: has none of the {len(names)} scenes of the {selection.split} split, such "
            f"as {names[0]}; give the folder whose sub-folders are named so"
        )
    known = range(len(NYU40) + 1)
    files = first_share(scenes, selection.share)
    return LabelledFiles(
        name=selection.describe(LAYOUT),
        classes=CLASSES,
        instance_classes=CLASSES[NOT_COUNTABLE:] if any(f.instances for f in files) else (),
        files=files,
        class_of_id=class_table(IDS, ignored=known),
        instance_class_of_id=class_table(IDS[NOT_COUNTABLE:], ignored=known),
        packed=True,
        skipped=+skipped,
    )


def _frames_folder(path: Path) -> Path:
    inside = path / "scannet_frames_25k"
    return inside if inside.is_dir() else path


def _scene_names(folder: Path, selection: Selection) -> list[str]:
    """Return the scenes of the split, in list order; `all` are those there, by name."""
    if selection.split_file is not None:
        return read_list(selection.split_file)
    if selection.split == "all":
        return sorted(scene.name for scene in folder.iterdir() if (scene / "label").is_dir())
    if (listed := find_list(folder, selection.split)) is not None:
        return read_list(listed)
    raise GeosetError(
        f"{folder}: no scannetv2_{selection.split}.txt in it or beside it, which lists the scenes "
        "of the split; take it from ScanNet's Tasks/Benchmark folder (github.com/ScanNet/ScanNet), "
        "or name another list"
    )
