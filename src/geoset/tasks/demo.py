"""The whole path on made-up rooms: make, prepare, pre-train, probe, report."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import joblib
from rich.console import Console
from rich.table import Table
from torch import nn

from geoset.data.labelled import LabelledImages, read_labelled
from geoset.evaluation.segmentation import SegmentationScore
from geoset.files import atomic_write
from geoset.models.load import load_model
from geoset.recipes import DemoSettings, PrepareSettings
from geoset.scans.rooms import FLUSH_CLASSES, ROOM_CLASSES, RoomSettings, write_room
from geoset.tasks.demo_report import write_report
from geoset.tasks.prepare import prepare
from geoset.tasks.pretrain import build_pretraining, pretrain
from geoset.tasks.probe import (
    color_and_position,
    estimate_batchnorm,
    linear_probe,
    majority_class,
    network_features,
)

SEED_STRIDE = 10_000  # between the rooms of one purpose and the next: no room serves two
BATCHNORM_FRAMES = 8  # unlabelled images a room that BatchNorm statistics are estimated on
SHOWN_CLASSES = tuple(name for name in ROOM_CLASSES if name not in FLUSH_CLASSES)


@dataclass
class _Clock:
    """Says what is being done, and remembers how long it took."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.console.print(f"[bold]{name}[/bold]")
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)


def demo(out: Path, seed: int = 0, settings: DemoSettings | None = None) -> Path:
    """Run the demonstration in the folder `out`; return the path of its page.

    What is finished there is not done again, so a demonstration that was stopped goes on.

    Raises:
        GeosetError: `out` holds a demonstration with other settings.
    """
    settings, clock = settings or DemoSettings(), _Clock(Console(stderr=True))
    with clock.part("1/4 making rooms"):
        unlabelled = _rooms(
            out / "rooms" / "unlabelled", 0, settings.rooms, settings.frames, settings
        )
        labelled, heldout = (
            _rooms(out / "rooms" / name, number, count, settings.labelled_frames, settings)
            for number, (name, count) in enumerate(
                [("labelled", settings.labelled_rooms), ("heldout", settings.heldout_rooms)], 1
            )
        )
    with clock.part("2/4 preparing: surfaces, sets, pairs"):
        size = RoomSettings().height, RoomSettings().width
        prepare(
            unlabelled[0].parent,
            out / "prepared",
            PrepareSettings(image_size=size),
            settings.workers,
            clock.console,
        )
    with clock.part("3/4 pre-training: pixels, then sets"):
        pretrain([out / "prepared"], out / "run", settings.recipe, seed=seed, resume=True)
    with clock.part("4/4 probing on held-out rooms"):
        train = read_labelled(labelled, settings.labelled_frames)
        test = read_labelled(heldout, settings.labelled_frames)
        networks = _networks(out / "run", settings, seed, unlabelled)
        scores = _probe_all(networks, train, test)
    results = {"seed": seed, "seconds": clock.seconds, "scores": _figures(scores)}
    atomic_write(out / "results.json", json.dumps(results, indent=1))
    clock.console.print(_table(results["scores"]))
    return write_report(out, results, networks, test)


def _rooms(
    folder: Path, purpose: int, count: int, frames: int, settings: DemoSettings
) -> list[Path]:
    seeds = range(purpose * SEED_STRIDE, purpose * SEED_STRIDE + count)
    paths = [folder / f"room-{seed:05d}" for seed in seeds]
    room = RoomSettings(frames=frames)
    joblib.Parallel(settings.workers)(
        joblib.delayed(write_room)(path, seed, room)
        for path, seed in zip(paths, seeds, strict=True)
    )
    return paths


def _networks(
    run: Path, settings: DemoSettings, seed: int, unlabelled: list[Path]
) -> dict[str, nn.Module]:
    """Return the network before training and after each stage, BatchNorm estimated alike."""
    images = read_labelled(unlabelled, BATCHNORM_FRAMES).images
    before, _ = build_pretraining(settings.recipe, seed)
    networks: dict[str, nn.Module] = {"scratch": before.image}
    for stage in settings.recipe.stages:
        networks[f"after stage {stage.name}"] = load_model(run / f"stage-{stage.name}.safetensors")
    for network in networks.values():
        estimate_batchnorm(network, images)
    return networks


def _probe_all(
    networks: dict[str, nn.Module], train: LabelledImages, test: LabelledImages
) -> dict[str, SegmentationScore]:
    scores = {
        "majority class": majority_class(train, test, ROOM_CLASSES),
        "colour and position": linear_probe(color_and_position, train, test, ROOM_CLASSES),
    }
    for name, network in networks.items():
        scores[name] = linear_probe(network_features(network), train, test, ROOM_CLASSES)
    return scores


def _figures(scores: dict[str, SegmentationScore]) -> dict[str, dict]:
    return {
        name: {
            "miou": score.mean_iou(),
            "miou_shown": score.mean_iou(SHOWN_CLASSES),
            "miou_flush": score.mean_iou(FLUSH_CLASSES),
            "pixel_accuracy": score.pixel_accuracy,
            "iou": score.iou,
        }
        for name, score in scores.items()
    }


def _table(scores: dict[str, dict]) -> Table:
    table = Table(title="frozen linear probe on held-out rooms, %", title_justify="left")
    for heading in ("features", "mIoU", "classes geometry shows", "flush classes", "accuracy"):
        table.add_column(heading, justify="left" if heading == "features" else "right")
    for name, figures in scores.items():
        values = list(figures.values())[:4]
        table.add_row(name, *(f"{100 * value:.1f}" for value in values))
    return table
