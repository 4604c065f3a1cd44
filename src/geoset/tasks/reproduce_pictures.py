"""Pictures of a table's runs: what fine-tuned networks predict (Fig. 4), and what features show."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from geoset.data.label_resize import ResizedSet, resized
from geoset.models.load import load_model
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import Column, Table
from geoset.reports.figures import paint_features, tile
from geoset.reports.predictions import segmentation_sheet
from geoset.spacing import evenly_spaced
from geoset.tasks.finetuning import weights_in
from geoset.tasks.labelled_cells import stack_images
from geoset.tasks.probe import network_features
from geoset.tasks.reproduce_data import Sources
from geoset.tasks.reproduce_jobs import Score, frozen_network, is_done
from geoset.tasks.reproduce_results import encoder_of
from geoset.tasks.segmentation_scores import predict

IMAGES = 4  # of the validation images, evenly spaced


def first_scored(
    row: str, columns: Sequence[Column], out: Path, settings: ReproduceSettings
) -> Score | None:
    """Return what a method has scored with its first seed, in the first of columns that it has."""
    for seed in range(settings.seeds):
        for column in columns:
            job = Score(column.task, encoder_of(row, column.task.backbone, seed, settings))
            if is_done(job, out):
                return job
    return None


def predicted_column(table: Table) -> Column | None:
    """Return the column whose networks are shown: of segmentation, the one with most labels."""
    columns = [column for column in table.columns if column.task.kind == "segmentation"]
    return max(columns, key=lambda column: column.task.share, default=None)


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
        network = load_model(weights_in(job.folder(out)))
        methods[METHODS[row].title] = list(predict(network, images))
    truth = [val.semantic(i) for i in chosen]
    return segmentation_sheet(images, truth, methods, val.classes)


def draw_features(
    table: Table, out: Path, sources: Sources, settings: ReproduceSettings
) -> Image.Image | None:
    """Show features before fine-tuning by their principal components; None if nothing was scored.

    What begins from scratch is the network before training.
    """
    jobs = {row: first_scored(row, table.columns, out, settings) for row in table.rows}
    jobs = {row: job for row, job in jobs.items() if job}
    if not jobs:
        return None
    train, val = _images(table.columns[0], sources)
    chosen = evenly_spaced(len(val), IMAGES)
    images = [val.image(i) for i in chosen]
    columns = {"image": images}
    for row, job in jobs.items():
        network = frozen_network(job.encoder, out, settings, train)
        maps = network_features(network)(stack_images(images, val.name)).numpy()
        columns[METHODS[row].title] = paint_features(maps, val.size)
    return tile(
        [[(name, pictures[k]) for name, pictures in columns.items()] for k in range(len(images))]
    )


def _images(column: Column, sources: Sources) -> tuple[ResizedSet, ResizedSet]:
    train, val = sources.open(column.task.data, column.task.share)
    return resized(train, sources.size), resized(val, sources.size)
