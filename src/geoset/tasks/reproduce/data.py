"""What tables are made from: the built-in benchmark of made-up rooms, or ScanNet and NYUv2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import joblib

from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.prepare.data_set import open_scenes
from geoset.prepare.groups import group_count
from geoset.prepare.scene import PreparedScene
from geoset.recipes import DataSettings, LayerSettings, PrepareSettings
from geoset.recipes.methods import Training
from geoset.recipes.reproduce import BenchmarkRooms
from geoset.scans.rooms import RoomSettings, write_room
from geoset.scans.splits import Split
from geoset.tasks.finetuning import open_train_and_val
from geoset.tasks.group import group
from geoset.tasks.layers import add_layers
from geoset.tasks.prepare import prepare

ROOM_SIZE = (RoomSettings().height, RoomSettings().width)
PAPER_SIZE = (240, 320)
FIRST_SEED = 100_000  # of the rooms: those of trials and examples are below
SEED_STRIDE = 10_000  # between the rooms of one purpose and the next: no room serves two


@dataclass(frozen=True)
class Sources:
    """Where images and scenes lie.

    scans: what is prepared to pre-train on; prepared: where to
    labelled: by the name that tables know them by
    size: (H,W) that images are brought to
    """

    scans: Path
    prepared: Path
    labelled: Mapping[str, DataSettings]
    size: tuple[int, int]

    def open(self, name: str, share: float = 1.0) -> tuple[LabelledSet, LabelledSet]:
        """Open the images to learn from, and those to be scored on."""
        return open_train_and_val(replace(self.labelled[name], share=share))


def benchmark(out: Path, scored: Literal["validation", "tuning"] = "validation") -> Sources:
    """Return where the benchmark's rooms lie in the folder `out`; `scored`: which to score on."""
    labelled = DataSettings(out / "labelled", out / scored)
    return Sources(
        out / "unlabelled",
        out / "prepared",
        {"scannet": labelled, "nyuv2": labelled},
        ROOM_SIZE,
    )


def make_rooms(out: Path, rooms: BenchmarkRooms, workers: int) -> None:
    """Make the rooms of the benchmark in the folder `out`, but for those that are there."""
    purposes = {
        "unlabelled": (rooms.unlabelled, rooms.unlabelled_frames),
        "labelled": (rooms.labelled, rooms.labelled_frames),
        "validation": (rooms.validation, rooms.labelled_frames),
        "tuning": (rooms.tuning, rooms.labelled_frames),
    }
    jobs = []
    for number, (purpose, (count, frames)) in enumerate(purposes.items()):
        first = FIRST_SEED + number * SEED_STRIDE
        jobs += [
            (out / purpose / f"room-{seed}", seed, RoomSettings(frames=frames))
            for seed in range(first, first + count)
        ]
    joblib.Parallel(workers)(joblib.delayed(write_room)(*job) for job in jobs)
    names = [path.name for path, *_ in jobs if path.parent.name == "labelled"]
    atomic_write(out / "labelled" / "train.txt", "".join(f"{name}\n" for name in names))


def published(
    out: Path, paths: Mapping[str, Path], needed: Iterable[str], size: tuple[int, int]
) -> Sources:
    """Find ScanNet and NYUv2 in the folders given.

    out: where prepared scenes go; size: (H,W) that images are brought to
    paths: "scannet": a folder that holds `scans/` and `scannet_frames_25k/`; "nyuv2": one that
        holds nyu_depth_v2_labeled.mat, or that file
    needed: which of them must be there

    Raises:
        GeosetError: one is missing, naming what was looked for.
    """
    scannet = _folder(paths, "scannet")
    labelled = {}
    for name in needed:
        folder = _folder(paths, name)
        inside = {"scannet": "scannet_frames_25k", "nyuv2": "nyu_depth_v2_labeled.mat"}[name]
        labelled[name] = DataSettings(folder / inside if (folder / inside).exists() else folder)
    scans = scannet / "scans" if (scannet / "scans").is_dir() else scannet
    return Sources(scans, out / "prepared", labelled, size)


def _folder(paths: Mapping[str, Path], name: str) -> Path:
    if name not in paths:
        raise GeosetError(
            f"data: {name} is needed for this table; add {name}=PATH behind --data, or use the "
            "built-in rooms with --data benchmark"
        )
    if not paths[name].exists():
        raise GeosetError(f"{paths[name]}: does not exist; give the folder of {name}")
    return paths[name]


def make_scenes(
    sources: Sources, trainings: Iterable[Training], workers: int, split: Split = "train"
) -> None:
    """Prepare the scans of a split, with the layers and groupings that `trainings` need."""
    trainings = list(trainings)
    if not trainings:
        return
    settings = PrepareSettings(image_size=sources.size)
    prepare(sources.scans, sources.prepared, settings, workers, split=split)
    for layer in dict.fromkeys(layer for training in trainings for layer in training.layers):
        # Labels that came with the scan's mesh are there already, by the same name.
        without = [
            scene.path for scene in open_scenes([sources.prepared]) if not _has(scene, layer)
        ]
        if without:
            add_layers(without, layer, workers)
    for grouping in dict.fromkeys(training.groups for training in trainings if training.groups):
        if not _is_grouped(open_scenes([sources.prepared]), grouping.name):
            group([sources.prepared], grouping, workers=workers)


def _is_grouped(scenes: Sequence[PreparedScene], name: str) -> bool:
    try:
        return group_count(scenes, name) > 0
    except GeosetError:  # some scene lacks it, or has one that was made without the others
        return False


def _has(scene: PreparedScene, layer: LayerSettings) -> bool:
    return layer.images is not None and scene.has_layer(layer.images)
