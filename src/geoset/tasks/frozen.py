"""What frozen features know: matches between views without labels, classes by simple probes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import geoset
from geoset.data.label_set import LabelledSet
from geoset.errors import GeosetError
from geoset.evaluation.correspondence import ANGLES, PIXELS
from geoset.files import atomic_write
from geoset.models.dense import DenseNetwork
from geoset.models.detector import Detector
from geoset.models.initial import load_initial
from geoset.models.load import load_model
from geoset.models.network import build_network
from geoset.prepare.data_set import find_scenes
from geoset.prepare.scene import PreparedScene
from geoset.reports.figures import save_picture
from geoset.reports.predictions import segmentation_sheet
from geoset.spacing import evenly_spaced
from geoset.tasks.correspondence import chosen_frames, true_matches
from geoset.tasks.frozen_matches import draw_scene, find_all, recalls
from geoset.tasks.frozen_report import markdown
from geoset.tasks.labelled_cells import Features, stack_images
from geoset.tasks.probe import (
    Segment,
    color_and_position,
    estimate_batchnorm,
    fit_linear,
    fit_neighbours,
    linear_probe,
    majority_class,
    network_features,
    score_segments,
)

BATCHNORM_IMAGES = 64  # unlabelled images that BatchNorm statistics are estimated on
SEEN = ("", "other scenes", "held out", "unknown", "trained on")  # ever less of a test
WORDS = ("scratch", "imagenet")  # models that are no files
DRAWN_SCENES = 4  # of which pictures are made
DRAWN_IMAGES = 4  # of the labelled ones


def evaluate_frozen(
    models: Mapping[str, Path | str],
    out: Path,
    *,
    scenes: Sequence[str | Path] = (),
    frames: str = "every:5",
    train: LabelledSet | None = None,
    test: LabelledSet | None = None,
    layers: Sequence[str] = ("output",),
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Compare frozen networks; write `results.json`, `results.md` and pictures into `out`.

    The BatchNorm statistics of every network are estimated alike on unlabelled images first: those
    frames of a scene that are not evaluated, or the training images.

    models: by name, a file or run folder of weights; "scratch" or "imagenet": the network of the
        first of these files as it is drawn, or with its encoder from ImageNet
    scenes: prepared scenes, or folders of them, to find matches in; frames: which, "all" or
        "every:5". The results say of each model whether its run held these frames out
    train, test: labelled sets, each of one image size, to fit and to score probes on
    layers: of the networks (see `network_features`), each a row of the tables; pictures are of the
        first
    Returns what `results.json` holds.

    Raises:
        GeosetError: nothing to evaluate, a model that cannot be had, or a set or scene that
            cannot be used.
    """
    if (train is None) != (test is None) or (test is None and not scenes):
        raise GeosetError(
            "nothing to evaluate on: expected prepared scenes (for matches), or two labelled sets, "
            "train to fit probes on and test to score them on"
        )
    if not layers:
        raise GeosetError("no layer is named; expected output, decoder, or encoder.1 to encoder.4")
    networks = {name: net.to(device) for name, net in _load_networks(models, seed).items()}
    rows = {  # of the tables: the model and its features
        name if layer == layers[0] else f"{name}, {layer}": (name, network_features(network, layer))
        for layer in layers
        for name, network in networks.items()
    }
    results: dict[str, Any] = {
        "geoset": geoset.__version__,
        "seed": seed,
        "models": {name: str(path) for name, path in models.items()},
        "layer": layers[0],
    }
    if scenes:
        results["correspondence"] = _match_all(scenes, frames, models, networks, rows, seed, out)
    if test is not None:
        results["segmentation"] = _probe(train, test, networks, rows, seed, out)
    atomic_write(out / "results.json", json.dumps(results, indent=1))
    atomic_write(out / "results.md", markdown(results))
    return results


def _load_networks(models: Mapping[str, Path | str], seed: int) -> dict[str, nn.Module]:
    files = [path for path in models.values() if path not in WORDS]
    if not files:
        raise GeosetError(
            f"models are {', '.join(map(str, models.values())) or 'none'}, expected at least one "
            "file of weights: scratch and imagenet are of its network"
        )
    first, networks = load_model(files[0]), {}
    if not isinstance(first, DenseNetwork) and len(files) < len(models):
        raise GeosetError(
            f"{files[0]}: is a {type(first).__name__}, expected a network of pre-training first: "
            "scratch and imagenet are of its kind"
        )
    for name, path in models.items():
        if path in WORDS:
            torch.manual_seed(seed)
            networks[name] = build_network(**first.config)
            load_initial(networks[name], str(path))
        else:
            networks[name] = load_model(path)
        if isinstance(networks[name], Detector):
            raise GeosetError(
                f"{path}: is a Mask R-CNN, which gives boxes and no map of features; give the run "
                "it started from"
            )
    return networks


def _match_all(
    paths: Sequence[str | Path],
    frames: str,
    models: Mapping[str, Path | str],
    networks: Mapping[str, nn.Module],
    rows: Mapping[str, tuple[str, Features]],
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Return the recalls of each scene, and why some have none; draw the first few.

    Raises:
        GeosetError: no scene can be used.
    """
    scenes, skipped = {}, []
    for path in find_scenes(paths):
        drawn_to = out if len(scenes) < DRAWN_SCENES else None
        try:
            scene = PreparedScene(path)
            found = _match(scene, frames, networks, rows, seed, drawn_to)
        except GeosetError as error:
            text = str(error)
            skipped.append(text if text.startswith(str(path)) else f"{path}: {text}")
            continue
        scenes[scene.name] = found
        for row, (name, _) in rows.items():
            found["rows"][row]["frames"] = frames_in_training(models[name], scene.name, frames)
    if not scenes:
        raise GeosetError("; ".join(skipped))
    of_all = {"frames": frames, "angles": ANGLES, "pixels": PIXELS}
    return {**of_all, "scenes": scenes, "skipped": skipped}


def _match(
    scene: PreparedScene,
    frames: str,
    networks: Mapping[str, nn.Module],
    rows: Mapping[str, tuple[str, Features]],
    seed: int,
    drawn_to: Path | None,
) -> dict[str, Any]:
    """Return counts, and the recalls of each row; draw pictures into a folder, if any."""
    matches = true_matches(scene, frames, seed=seed)
    of_size = np.flatnonzero((scene.sizes == matches.size).all(axis=1))
    rest = np.setdiff1d(of_size, chosen_frames(len(scene), frames))
    rest = rest if len(rest) else of_size
    images = [scene.image(i) for i in rest[evenly_spaced(len(rest), BATCHNORM_IMAGES)]]
    _estimate(networks, stack_images(images, scene.name))
    found = find_all(matches, {row: features for row, (_, features) in rows.items()}, seed)
    if drawn_to:
        drawn = {name: rows[name][1] for name in networks}
        pictures = draw_scene(matches, {name: found[name] for name in drawn}, drawn)
        for kind, picture in pictures.items():
            save_picture(picture, drawn_to / f"{scene.name}-{kind}.png")
    return recalls(matches, found)


def frames_in_training(model: Path | str, scene: str, frames: str) -> str:
    """Say what a model's run saw of the frames of a scene, by the `run.json` beside its weights.

    "" for networks of no run, "unknown" without a `run.json`, "other scenes", "held out", or
    "trained on": all frames, unless the recipe's `heldout_every` leaves out 0, N, 2N, ... What the
    weights that a run started from have seen counts, too. Scenes are told apart by their names.
    """
    if model in WORDS:
        return ""
    path = Path(model)
    file = (path if path.is_dir() else path.parent) / "run.json"
    try:
        settings = json.loads(file.read_text())["plan"]["settings"]
        recipe = settings.get("recipe") or settings["moco"]
        names, held_out = settings["scenes"], recipe.get("heldout_every")
        begun_with = recipe["model"]["weights"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "unknown"
    step, own = frames.removeprefix("every:"), "trained on"
    if scene not in names:
        own = "other scenes"
    elif held_out and step.isdecimal() and not int(step) % held_out:
        own = "held out"
    return max(own, frames_in_training(begun_with, scene, frames), key=SEEN.index)


def _probe(
    train: LabelledSet,
    test: LabelledSet,
    networks: Mapping[str, nn.Module],
    rows: Mapping[str, tuple[str, Features]],
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Return the scores of both probes of each row; draw what the linear ones see."""
    names = test.classes
    if train.classes != names:
        raise GeosetError(
            f"{train.name} has the classes {', '.join(train.classes)}; {test.name} has "
            f"{', '.join(names)}: expected the same of both sets"
        )
    images = [train.image(i) for i in evenly_spaced(len(train), BATCHNORM_IMAGES)]
    _estimate(networks, stack_images(images, train.name))
    scores = {  # of what needs no network
        "majority class": {"linear": majority_class(train, test, names)},
        "colour and position": {"linear": linear_probe(color_and_position, train, test, names)},
    }
    linear: dict[str, Segment] = {}
    for row, (_, features) in rows.items():
        linear[row] = fit_linear(features, train, len(names))
        nearest = fit_neighbours(features, train, len(names), seed)
        scores[row] = {
            "linear": score_segments(linear[row], test, names),
            "neighbours": score_segments(nearest, test, names),
        }
    chosen = evenly_spaced(len(test), DRAWN_IMAGES)
    images, truth = [test.image(i) for i in chosen], [test.semantic(i) for i in chosen]
    methods = {
        name: list(linear[name](stack_images(images, test.name)).numpy()) for name in networks
    }
    save_picture(segmentation_sheet(images, truth, methods, names), out / "segmentation.png")
    return {
        "train": f"{train.name}, {len(train)} images",
        "test": f"{test.name}, {len(test)} images",
        "rows": {
            row: {
                probe: {
                    "miou": score.mean_iou(),
                    "pixel_accuracy": score.pixel_accuracy,
                    "iou": score.iou,
                }
                for probe, score in of_row.items()
            }
            for row, of_row in scores.items()
        },
    }


def _estimate(networks: Mapping[str, nn.Module], images: Tensor) -> None:
    for network in networks.values():
        estimate_batchnorm(network, images)
