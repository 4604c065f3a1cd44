"""The page of a table, from runs that are written by hand: no training here."""

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from geoset import GeosetError
from geoset.models.load import save_model
from geoset.recipes import SEGMENTATION_RECIPES, ReproduceSettings, segmentation_at_small_scale
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks import reproduce_page
from geoset.tasks.reproduce_page import write_page
from geoset.tasks.reproduce_results import collect, write_results
from geoset.tasks.reproduce_words import compared_at, difference_in_words, lead, not_run
from geoset.tasks.segmentation import build_segmenter

CLASSES = ("wall", "door")
SETTINGS = ReproduceSettings(seeds=2)
TABLE = Table(
    "A table of nothing",
    ("scratch", "view", "moco"),
    (
        Column("probe", Task("probe")),
        Column("half", Task("segmentation", share=0.5)),
        Column("all", Task("segmentation")),
    ),
    published={"view": (None, None, 61.3)},
)


@dataclass
class Made:
    """Six images of two classes."""

    name: str = "made"
    classes: tuple = CLASSES
    instance_classes: tuple = ()

    def __len__(self):
        return 6

    def image_id(self, i):
        return f"{i}"

    def image(self, i):
        return np.random.default_rng(i).integers(0, 256, (96, 128, 3), dtype=np.uint8)

    def semantic(self, i):
        return np.full((96, 128), i % 2)


class Sources:
    """Those of `reproduce_data`, without files."""

    size = (96, 128)

    def open(self, name, share=1.0):
        return Made(), Made()


def store_score(out, place, method, seed, miou):
    folder = out / "scores" / place / "small" / method / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "score.json").write_text(json.dumps({"scores": {"miou": miou}, "seconds": 1}))
    counts = np.array([[[8, 2], [1, 9]], [[9, 1], [5, 5]]])
    np.savez(folder / "confusions.npz", confusions=counts, scenes=["a", "b"], classes=CLASSES)
    return folder


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Both methods probed with two seeds; one network, from scratch, fine-tuned."""
    monkeypatch.setitem(TABLES, "made", TABLE)
    for seed in range(2):
        store_score(tmp_path, "scannet-probe-1", "scratch", seed, 5.0 + seed)
        store_score(tmp_path, "scannet-probe-1", "view", seed, 7.0 + seed)
    encoder = tmp_path / "encoders" / "small" / "view" / "seed-0"
    encoder.mkdir(parents=True)
    steps = [{"step": k, "stage": "view", "view/chance": 1 / k, "step_s": 0.5} for k in (1, 2)]
    (encoder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (encoder / "model.safetensors").touch()
    run = {"versions": {"torch": "2.9"}, "hardware": {"device": "abacus"}}
    (encoder / "run.json").write_text(json.dumps(run))
    return tmp_path


def make(out, open_sources):
    results = collect("made", out, SETTINGS)
    write_results("made", results, out, Console(quiet=True))
    return write_page("made", results, out, SETTINGS, open_sources).read_text()


def no_sources():
    raise GeosetError("scannet is needed for this table")


def test_everything_is_on_one_page_that_fetches_nothing(out):
    text = make(out, no_sources)
    assert not re.search(r"<script|<link|(src|href)=['\"](?!data:|#)", text)
    assert "<td>7.5 ± 6.4 (2)</td>" in text
    assert "<td>not run [61.3]</td>" in text
    assert "better by 2.0 ± 0.0: more than chance" in text
    assert "Not run: from scratch (half 0 of 2 seeds, all 0 of 2 seeds);" in text
    assert "MoCoV2." in text
    assert "no pre-training to compare" in text
    assert "abacus" in text
    assert "Without pictures: scannet is needed for this table" in text
    assert (out / "table-made-labels.svg").is_file()
    # door: (9 + 5) / (10 + 10 + 3) = 14 / 23 with each of two seeds
    assert "<td>60.9 ± 0.0</td>" in text


def test_a_page_is_made_again_only_if_results_or_pictures_are_missing(out, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce_page, "draw_predictions", lambda *_: None)
    monkeypatch.setattr(
        reproduce_page, "draw_features", lambda *_: asked.append(1) or Image.new("RGB", (8, 8))
    )
    make(out, no_sources)
    text = make(out, Sources)
    assert make(out, None) == text
    assert (out / "table-made-features.png").is_file()
    store_score(out, "scannet-unet-0.5", "scratch", 0, 4.0)
    assert "<td>4.0 (1)</td>" in make(out, Sources)
    assert len(asked) == 2


def test_pictures_of_networks(out):
    (out / "encoders" / "small" / "view" / "seed-0" / "model.safetensors").unlink()
    for seed in range(2):
        path = out / "scores" / "scannet-probe-1" / "small" / "view" / f"seed-{seed}" / "score.json"
        path.unlink()
    folder = store_score(out, "scannet-unet-1", "scratch", 0, 4.0)
    recipe = segmentation_at_small_scale(SEGMENTATION_RECIPES["unet"])
    save_model(build_segmenter(CLASSES, recipe, 0)[0], folder / "model.safetensors")
    text = make(out, Sources)
    assert text.count("<img ") == 2
    tile = 256 + 4
    predictions = Image.open(out / "table-made-predictions.png")
    assert predictions.width == 3 * tile + 4  # image, ground truth, scratch
    assert Image.open(out / "table-made-features.png").width == 2 * tile + 4


CELL = {"n": 3, "mean": 9.0, "margin": 1.0}


@pytest.mark.parametrize(
    ("n", "mean", "margin", "significant", "words"),
    [
        (3, 1.84, 0.9, True, "better by 1.8 ± 0.9: more than chance"),
        (3, -1.84, 0.9, True, "worse by 1.8 ± 0.9: more than chance"),
        (3, 0.4, 1.2, False, "+0.4 ± 1.2: not to be told apart with 3 seeds"),
        (1, 2.5, None, None, "+2.5: one seed, not to be told from chance"),
        (0, None, None, None, "no seed in common"),
    ],
)
def test_differences_in_words(n, mean, margin, significant, words):
    better = {"n": n, "mean": mean, "margin": margin, "significant": significant}
    assert difference_in_words(CELL | {"better": better}) == words


def test_what_was_not_run_has_no_difference():
    assert difference_in_words({"n": 0, "better": {"n": 0}}) == "not run"


def results_of(**rows):
    settings = {"seeds": 3, "scale": "paper"}
    columns = ["probe", "fine-tuned"]
    return {"rows": rows, "columns": columns, "settings": settings, "baseline": "scratch"}


def test_the_lead_counts_what_is_more_than_chance():
    yes, no = ({"n": 3, "mean": m, "significant": s} for m, s in ((-2.0, True), (9.0, False)))
    results = results_of(scratch=[CELL, CELL], view=[CELL | {"better": yes}, CELL | {"better": no}])
    expected = (
        "1 of 2 differences from 'from scratch' are more than chance. Worse: Pri3D (View) (probe)."
    )
    assert lead(results) == expected


def test_the_lead_without_the_baseline():
    none = CELL | {"better": {"n": 0, "mean": None, "margin": None, "significant": None}}
    results = results_of(scratch=[CELL, CELL], view=[none, none])
    assert lead(results) == "Nothing to compare with 'from scratch' has been run."


def test_missing_seeds_are_counted():
    few, none = CELL | {"n": 1}, CELL | {"n": 0}
    results = results_of(scratch=[CELL, CELL], view=[CELL, few], geo=[none, none])
    assert not_run(results) == ["Pri3D (View) (fine-tuned 1 of 3 seeds)", "Pri3D (Geo)"]


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ((800, 104.0), (800, 100.0), "equal steps, equal compute"),
        ((800, 106.0), (800, 100.0), "equal steps, more compute"),
        ((400, 60.0), (800, 100.0), "fewer steps, less compute"),
        ((801, None), (800, 100.0), "more steps"),
        ((800, 60.0), (0, None), "no pre-training to compare"),
    ],
)
def test_equal_steps_are_not_equal_compute(ours, theirs, words):
    assert compared_at(ours, theirs) == words
