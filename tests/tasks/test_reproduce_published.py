"""Tables from folders as ScanNet and NYUv2 are published, end to end at the least scale."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from same_process import run_in_this_process
from torchvision.models import get_model_weights, resnet18

from geoset import open_scan
from geoset.recipes import RECIPES, SEGMENTATION_RECIPES, ReproduceSettings, methods
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks import running
from geoset.tasks.reproduce import jobs
from geoset.tasks.reproduce.table import reproduce
from labelled_folders import write_nyuv2, write_scene
from scan_formats.scannet import write_label_table, write_label_zip
from scan_formats.sens import write_sens

SETTINGS = ReproduceSettings(seeds=1, pretrain_steps=1, finetune_steps=1)
SCENES = ("scene0000_00", "scene0001_00")
IDS = range(1, 16)  # of the rooms' classes, taken for raw ids and for nyu40
VIDEO = 76  # frames of a .sens, of which 0, 25, 50 and 75 are prepared
QUIET = Console(quiet=True)
PAPER = [name for name in TABLES if name[0].isdigit()]
PAGES = (
    "2",
    "7",
)  # that are drawn: one of each data set; a page takes longer than its table's runs


@pytest.fixture(scope="module", autouse=True)
def least_work():
    """Runs without what takes longer than their work: a start of a process, a drawing of curves."""
    with pytest.MonkeyPatch.context() as patch:
        run_in_this_process(patch)
        patch.setattr(running, "draw_curves", lambda *_: None)
        patch.setitem(RECIPES, "demo", replace(RECIPES["demo"], batch_pairs=1))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two scenes of ScanNet, with frames_25k and lists; five images of NYUv2."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(SCENES):
        write_room(folder / "rooms" / name, seed, RoomSettings(frames=4))
        write_scannet(folder / "scannet", name, open_scan(folder / "rooms" / name))
    for split, name in zip(("train", "val"), SCENES, strict=True):
        (folder / "scannet" / f"scannetv2_{split}.txt").write_text(f"{name}\n")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 480, 640, 3), np.uint8)
    labels = np.broadcast_to(1 + np.arange(640) // 16, (5, 480, 640))
    instances = np.broadcast_to(1 + np.arange(640) // 320, (5, 480, 640))
    to_40 = [1 + k % 40 for k in range(894)]
    to_13 = [1 + k % 13 for k in range(40)]
    write_nyuv2(folder / "nyuv2", images, labels, instances, [1, 2, 3], [4, 5], to_40, to_13)
    return {name: folder / name for name in ("scannet", "nyuv2")}


def write_scannet(folder, name, room):
    frames = room.frames
    of_video = [frames[k * len(frames) // VIDEO] for k in range(VIDEO)]
    scene = folder / "scans" / name
    camera = frames[0].camera
    write_sens(
        scene / f"{name}.sens",
        [frame.image() for frame in of_video],
        [frame.depth() for frame in of_video],
        [frame.world_from_camera for frame in of_video],
        camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]],
    )
    labels = {k: frame.label("semantic") for k, frame in enumerate(of_video)}
    write_label_zip(scene / f"{name}_2d-label-filt.zip", labels)
    numbers = {k: frame.label("instance") % 1000 for k, frame in enumerate(of_video)}
    write_label_zip(scene / f"{name}_2d-instance-filt.zip", numbers)
    write_label_table(folder / "scannetv2-labels.combined.tsv", [(k, f"raw {k}", k) for k in IDS])
    first = frames[0]
    write_scene(
        folder / "scannet_frames_25k" / name,
        [0, 100],
        first.image(),
        first.label("semantic"),
        first.label("instance"),
    )


@pytest.mark.parametrize("name", PAPER)
def test_every_table(name, data, tmp_path_factory, monkeypatch):
    if name not in PAGES:
        monkeypatch.setattr("geoset.tasks.reproduce.table.write_page", lambda *_: None)
    out = tmp_path_factory.getbasetemp() / "tables"  # runs are shared
    reproduce(name, out, data, SETTINGS, console=QUIET)
    rows = json.loads((out / f"table-{name}.json").read_text())["rows"]
    one_network = [column.task.backbone == "resnet50" for column in TABLES[name].columns]
    for row, cells in rows.items():
        expected = [row != "imagenet" and first for first in one_network]
        assert [len(cell["seeds"]) for cell in cells] == expected, row
    assert name not in PAGES or (out / f"table-{name}.html").is_file()


@pytest.fixture
def paper_scale(tmp_path, monkeypatch):
    """The paper's scale but for its steps and batches, and ImageNet weights that were drawn."""
    cached = Path(get_model_weights("resnet18").IMAGENET1K_V1.url).name
    weights = tmp_path / "hub" / "checkpoints" / cached
    weights.parent.mkdir(parents=True)
    torch.save(resnet18().state_dict(), weights)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("geoset.models.initial._check_hash", lambda *_: None)
    made = {"batch_pairs": 1, "pixel_samples": 64}
    monkeypatch.setattr(methods, "PretrainRecipe", partial(methods.PretrainRecipe, **made))
    geo = partial(methods.GeoSettings, samples=64, voxel_size=0.1, width=0.125)
    monkeypatch.setattr(methods, "GeoSettings", geo)
    moco = partial(jobs.MocoSettings, batch=2, crop=(64, 64), queue=4, batchnorm_images=1)
    monkeypatch.setattr(jobs, "MocoSettings", moco)
    monkeypatch.setitem(
        SEGMENTATION_RECIPES, "unet", replace(SEGMENTATION_RECIPES["unet"], batch=1)
    )
    task = Task("segmentation", backbone="resnet18")
    monkeypatch.setattr("geoset.tasks.reproduce.table.write_page", lambda *_: None)
    rows = ("imagenet", "moco", "sets")
    table = Table("of the paper", rows, (Column("mIoU", task),), baseline="imagenet")
    monkeypatch.setitem(TABLES, "tiny", table)
    return replace(SETTINGS, scale="paper")


def test_the_scale_of_the_paper(paper_scale, data, tmp_path):
    reproduce("tiny", tmp_path, data, paper_scale, console=QUIET)
    rows = json.loads((tmp_path / "table-tiny.json").read_text())["rows"]
    assert all(len(cell["seeds"]) == 1 for cells in rows.values() for cell in cells)
    assert {path.parent.name for path in tmp_path.rglob("scene.json")} == set(SCENES)
    encoders, scores = tmp_path / "encoders/resnet18", tmp_path / "scores/scannet-unet-1/resnet18"
    (first,) = plan_of(encoders / "view_geo/seed-0")["settings"]["recipe"]["stages"]
    assert (first["view"], first["geo"], first["depth"], first["sets"]) == (1, 1, 1, 0)
    for chain, start in (
        ("imagenet", "imagenet"),
        ("moco", str(encoders / "moco/seed-0/model.safetensors")),
        ("view_geo+sets", str(encoders / "view_geo+sets/seed-0/model.safetensors")),
    ):
        settings = plan_of(scores / chain / "seed-0")["settings"]["segmentation"]
        assert settings["encoder"] == start
        assert settings["protocol"] == "pri3d" and settings["size"] == [240, 320]


def plan_of(run):
    return json.loads((run / "run.json").read_text())["plan"]
