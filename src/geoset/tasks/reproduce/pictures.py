"""Pictures of a table's runs: their sets, what networks predict (Fig. 4), what features show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from geoset.data.label_resize import ResizedSet, resized
from geoset.errors import GeosetError
from geoset.models.load import load_model
from geoset.models.read import weights_of
from geoset.prepare.data_set import find_scenes
from geoset.prepare.scene import PreparedScene
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Column, Table
from geoset.reports.figures import paint_features, scene_sheet, tile
from geoset.reports.found_points import draw_found
from geoset.reports.predictions import segmentation_sheet
from geoset.spacing import evenly_spaced
from geoset.tasks.correspondence import TrueMatches, find_matches, true_matches
from geoset.tasks.labelled_cells import Features, stack_images
from geoset.tasks.probe import network_features
from geoset.tasks.reproduce.cells import scored
from geoset.tasks.reproduce.data import Sources
from geoset.tasks.reproduce.jobs import Score, frozen_network
from geoset.tasks.segmentation_scores import predict

IMAGES = 4  # of the validation images, evenly spaced
SCENES, POINTS = 3, 8  # whose matches are drawn, and how many of a pair
COLUMNS = 5  # of pictures of matches


def first_scored(
    row: str, columns: Sequence[Column], out: Path, settings: ReproduceSettings
) -> Score | None:
    """Return what a method has scored with its first seed, in the first of columns that it has."""
    found = [scored(row, column.task, out, settings) for column in columns]
    first = min((seed for by_seed in found for seed in by_seed), default=None)
    return next((by_seed[first] for by_seed in found if first in by_seed), None)


def predicted_column(table: Table) -> Column | None:
    """Return the column whose networks are shown: of segmentation, the one with most labels."""
    columns = [column for column in table.columns if column.task.kind == "segmentation"]
    return max(columns, key=lambda column: column.task.share, default=None)


def draw_sets(sources: Sources) -> Image.Image | None:
    """Show the first prepared scene, with its sets and a pair; None if there is none."""
    if not sources.prepared.is_dir():
        return None
    return scene_sheet(PreparedScene(find_scenes([sources.prepared])[0]))


def draw_predictions(
    table: Table, out: Path, sources: Sources, settings: ReproduceSettings
) -> Image.Image | None:
    """Show images, their ground truth, and what each fine-tuned method predicts (Fig. 4).

    None if nothing was fine-tuned for segmentation.
    """
    column = predicted_column(table)
    jobs = {row: column and first_scored(row, [column], out, settings) for row in table.rows}
    jobs = {row: job for row, job in jobs.items() if job}
    if not jobs:
        return None
    _, val = _images(column, sources)
    chosen = evenly_spaced(len(val), IMAGES)
    images, methods = [val.image(i) for i in chosen], {}
    for row, job in jobs.items():
        network = load_model(weights_of(job.folder(out)))
        methods[METHODS[row].title] = list(predict(network, images))
    truth = [val.semantic(i) for i in chosen]
    return segmentation_sheet(images, truth, methods, val.classes)


def frozen_features(
    table: Table, out: Path, sources: Sources, settings: ReproduceSettings
) -> dict[str, Features]:
    """Return the features of frozen networks, by the titles of methods that have scored.

    What begins from scratch is the network before training.
    """
    train, _ = _images(table.columns[0], sources)
    jobs = {row: first_scored(row, table.columns, out, settings) for row in table.rows}
    return {
        METHODS[row].title: network_features(frozen_network(job.encoder, out, settings, train))
        for row, job in jobs.items()
        if job
    }


def draw_features(networks: Mapping[str, Features], table: Table, sources: Sources) -> Image.Image:
    """Show features of validation images by their principal components, a column a network."""
    _, val = _images(table.columns[0], sources)
    images = [val.image(i) for i in evenly_spaced(len(val), IMAGES)]
    columns = {"image": images}
    for name, features in networks.items():
        maps = features(stack_images(images, val.name)).float().cpu().numpy()
        columns[name] = paint_features(maps, val.size)
    return tile(
        [[(name, pictures[k]) for name, pictures in columns.items()] for k in range(len(images))]
    )


def draw_correspondences(networks: Mapping[str, Features], sources: Sources) -> Image.Image | None:
    """Show where networks find points of one view in another, for a pair of each of a few scenes.

    None if no scene is prepared. A scene whose pair, drawn at random, shares no pixel is left out.
    """
    if not sources.prepared.is_dir():
        return None
    paths, rows = find_scenes([sources.prepared]), []
    for k in evenly_spaced(len(paths), SCENES):
        try:
            matches = true_matches(PreparedScene(paths[k]), "all", pairs=1)
        except GeosetError:
            continue
        rows += _match_rows(matches, networks)
    return tile(rows) if rows else None


def _match_rows(
    matches: TrueMatches, networks: Mapping[str, Features]
) -> list[list[tuple[str, np.ndarray]]]:
    """Draw the views of a pair, and what each network finds in the second, in rows of COLUMNS."""
    shown = evenly_spaced(len(matches.source), POINTS)
    first, second = (matches.scene.image(i) for i in matches.frames[0])
    source, true = matches.source[shown].numpy(), matches.target[shown].numpy()
    tiles = [
        ("one view", draw_found(first, source, source)),
        ("another", draw_found(second, true, true)),
    ]
    for name, features in networks.items():
        found = find_matches(features, matches)
        away = (found - matches.target).norm(dim=1).median()
        tiles.append((f"{name} ({away:.0f})", draw_found(second, found[shown].numpy(), true)))
    return [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]


def _images(column: Column, sources: Sources) -> tuple[ResizedSet, ResizedSet]:
    train, val = sources.open(column.task.data, column.task.share)
    return resized(train, sources.size), resized(val, sources.size)
