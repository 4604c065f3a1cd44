"""The page that the demonstration ends with."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import geoset
from geoset.data.labelled import LabelledImages
from geoset.files import atomic_write
from geoset.prepare.data_set import find_scenes
from geoset.prepare.scene import PreparedScene
from geoset.reports import page
from geoset.reports.charts import training_curves
from geoset.reports.class_colors import class_colors, paint_labels
from geoset.reports.figures import paint_features, scene_sheet, tile
from geoset.scans.rooms import ROOM_CLASSES
from geoset.tasks.probe import network_features
from geoset.training.log import read_log

SHOWN_IMAGES = 4


def write_report(
    out: Path, results: dict, networks: dict[str, nn.Module], heldout: LabelledImages
) -> Path:
    """Write `report.html` into the folder of a demonstration and return its path."""
    scores = results["scores"]
    names = list(scores)
    trained, references = names[-1], names[:3]
    best_reference = max(references, key=lambda name: scores[name]["miou"])
    lead = (
        "A linear layer on frozen features, scored on rooms nobody trained on, reaches "
        f"{_percent(scores[trained]['miou'])} mIoU with the pre-trained network; the best "
        f"reference ({best_reference}) reaches {_percent(scores[best_reference]['miou'])}. "
        "No label was used in pre-training."
    )
    scene = PreparedScene(find_scenes([out / "prepared"])[0])
    sections = [
        ("What the features know", [_score_table(scores), page.text(PROBE_NOTE)]),
        (
            "Geometric sets",
            [page.picture(scene_sheet(scene), "One room as it is prepared: " + SHEET_NOTE)],
        ),
        (
            "Training",
            [page.chart(training_curves(read_log(out / "run")), CURVES_NOTE)],
        ),
        (
            "Features before and after",
            [
                page.picture(_feature_sheet(networks, heldout), FEATURES_NOTE),
                page.legend(
                    dict(zip(ROOM_CLASSES, class_colors(ROOM_CLASSES).tolist(), strict=True))
                ),
            ],
        ),
        ("IoU of each class", [_class_table(scores)]),
        ("How it was made", [page.code(_provenance(results))]),
    ]
    path = out / "report.html"
    atomic_write(path, page.page("geoset demo", lead, sections))
    return path


PROBE_NOTE = (
    "Geometry shows a chair or a floor; it does not show a door, window or picture that lies flush "
    "with its wall, so these are also scored apart. The BatchNorm statistics of every network, "
    "scratch included, were estimated on the same unlabelled images first. One seed: differences "
    "of a point or so between trainings are chance."
)
SHEET_NOTE = (
    "colour, sets in stable colours, depth, and where pixels see the surface (green) or disagree "
    "with it (red); last, two views of a pair with the sets they share."
)
CURVES_NOTE = "Loss terms over chance; similarity of matches and of others; the stages are divided."
FEATURES_NOTE = (
    "Held-out images, their labels, and features by their first three principal components, one "
    "basis a network: what looks alike is alike to the network."
)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _score_table(scores: dict[str, dict]) -> str:
    keys = ("miou", "miou_shown", "miou_flush", "pixel_accuracy")
    rows = [[name, *(_percent(figures[key]) for key in keys)] for name, figures in scores.items()]
    headings = ["features", "mIoU", "classes geometry shows", "flush classes", "pixel accuracy"]
    best = int(np.argmax([figures["miou"] for figures in scores.values()]))
    return page.table(headings, rows, best)


def _class_table(scores: dict[str, dict]) -> str:
    classes = sorted({name for figures in scores.values() for name in figures["iou"]})
    rows = [
        [name, *(_percent(figures["iou"].get(name, 0.0)) for figures in scores.values())]
        for name in classes
    ]
    return page.table(["class", *scores], rows)


def _feature_sheet(networks: dict[str, nn.Module], heldout: LabelledImages):
    chosen = np.linspace(0, len(heldout.images) - 1, SHOWN_IMAGES).round().astype(int)
    images = heldout.images[torch.from_numpy(chosen)]
    size, colors = tuple(images.shape[-2:]), class_colors(ROOM_CLASSES)
    columns = [
        ("image", [image.permute(1, 2, 0).numpy() for image in images]),
        ("labels", [paint_labels(heldout.labels[i].numpy(), colors) for i in chosen]),
    ]
    for name, network in networks.items():
        columns.append((name, paint_features(network_features(network)(images).numpy(), size)))
    return tile([[(name, column[i]) for name, column in columns] for i in range(SHOWN_IMAGES)])


def _provenance(results: dict) -> str:
    lines = [f"geoset {geoset.__version__}, torch {torch.__version__}, seed {results['seed']}"]
    lines += [f"{part}: {seconds:.0f} s" for part, seconds in results["seconds"].items()]
    return "\n".join([*lines, "settings, weights and log: the folder run/ beside this page"])
