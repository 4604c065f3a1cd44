"""The page of a table, from runs that are written by hand: no training here."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ended_run import end_run
from PIL import Image
from rich.console import Console

from geoset import GeosetError
from geoset.models.load import save_model
from geoset.recipes import SEGMENTATION_RECIPES, ReproduceSettings, segmentation_at_small_scale
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks.reproduce import page as reproduce_page
from geoset.tasks.reproduce.page import write_page
from geoset.tasks.reproduce.pictures import draw_features
from geoset.tasks.reproduce.results import collect, write_results
from geoset.tasks.reproduce.words import headline
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
    """Those of `reproduce.data`, without files."""

    size = (96, 128)
    prepared = Path("nowhere")

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
    (encoder / "cost.json").write_text('{"seconds": 12.5, "peak_mb": 1300}')
    (encoder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (encoder / "model.safetensors").touch()
    end_run(encoder, 2, versions={"torch": "2.9"}, hardware={"device": "abacus"})
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
    assert "<td>+2.0 ± 0.0 (2), better</td>" in text
    assert "<li>probe, better: &#x27;Pri3D (View)&#x27; +2.0 ± 0.0.</li>" in text
    assert "Not run: from scratch (half, all); Pri3D (View) (half, all); MoCoV2." in text
    assert "The baseline has no pre-training." in text
    assert "<td>12 s, 1.3 GB (1)</td>" in text
    assert "not measured" in text
    assert text.index("What came out") < text.index("Scores") < text.index("How it was made")
    assert "abacus" in text
    assert "Without pictures: scannet is needed for this table" in text
    assert (out / "table-made-labels.svg").is_file()
    # door: (9 + 5) / (10 + 10 + 3) = 14 / 23 with each of two seeds
    assert "<td>60.9 ± 0.0</td>" in text


def test_a_page_is_made_again_only_if_results_or_pictures_are_missing(out, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce_page, "draw_predictions", lambda *_: None)
    monkeypatch.setattr(reproduce_page, "frozen_features", lambda *_: {"view": None})
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


def test_features_are_drawn_wherever_they_were_computed():
    """In 16 bits they are no array before they are widened, as on a GPU before they are fetched."""
    features = {"x": lambda images: torch.rand(len(images), 4, 48, 64).bfloat16()}
    assert draw_features(features, TABLE, Sources()).height > 0


def test_one_network_is_one_column(out, monkeypatch):
    """The small scale has one network: what it scores is not counted again under another name."""
    columns = (Column("50", Task("segmentation")),
               Column("18", Task("segmentation", backbone="resnet18")))  # fmt: skip
    monkeypatch.setitem(TABLES, "made", replace(TABLE, columns=columns, published={}))
    for seed in range(2):
        store_score(out, "scannet-unet-1", "scratch", seed, 4.0 + seed)
        store_score(out, "scannet-unet-1", "view", seed, 6.0 + 2 * seed)
    results = collect("made", out, SETTINGS)
    assert [cell["n"] for cell in results["rows"]["view"]] == [2, 0]
    assert headline(results).startswith("0 of 1 differences from 'from scratch' are significant")


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
