"""The pages of docs/: they build without a warning, and what they say to do is done."""

import ast
import json
import re
import runpy
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import geoset
from documented import ROOT, at_tiny_scale, blocks_of, commands_of, run
from geoset.cli import COMMANDS
from geoset.scans import detect
from geoset.scans.rooms import RoomSettings, write_room

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text() for path in DOCS.glob("*.md")}
NOT_RUN = ("pip install", "ssh ")  # they change this environment, and want another machine
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
IN_README = commands_of((ROOT / "README.md").read_text())  # and run by its test


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where start.md is followed from beginning to end; the other pages go on there."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        follow(PAGES["start"].replace("frames=40", "frames=4"), patch)
    return folder


def stop_at_once():
    """What Ctrl-C does to `geoset view`, as soon as its page is served."""
    raise KeyboardInterrupt


def follow(text, patch, done=()):
    """Run the commands and the Python of a text here, in order; commands at tiny scale."""
    patch.setattr("geoset.tasks.view.wait", stop_at_once)
    for block in re.findall(r"```(?:bash|python)\n.*?```", text, re.DOTALL):
        for command in commands_of(block):
            if command not in done and not command.startswith(NOT_RUN):
                run(at_tiny_scale(command), patch)
        for code in blocks_of(block, "python"):
            if not code.startswith("--8<--"):  # a file of examples/, which has a test of its own
                exec(code, {})


def test_ten_minutes(folder):
    assert (folder / "prepared/my_scan/contact_sheet.png").is_file()
    assert (folder / "runs/first/curves.png").is_file()
    assert len(list((folder / "my_labels/labels/my_scan").iterdir())) == 4
    assert any((folder / "predictions").iterdir())


@pytest.mark.parametrize("page", ["index", "recipes", "extending", "viewer"])
def test_page(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    follow(PAGES[page], monkeypatch, done=IN_README + commands_of(PAGES["start"]))


@pytest.mark.parametrize("command", commands_of(PAGES["reproduce"]))
def test_reproduce(command, tmp_path, monkeypatch):
    """Only planned: tests/tasks/test_reproduce.py runs tables."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scannet/scannet_frames_25k").mkdir(parents=True)
    (tmp_path / "scannet/scans").mkdir()
    run([*shlex.split(command.replace("/data/", "")), "--plan"], monkeypatch)
    assert not list(tmp_path.rglob("run.json"))


def test_examples_are_short_and_all_shown():
    pages = {"reader": "extending", "loss": "extending", "layer": "extending", "whole": "api"}
    assert {path.stem for path in EXAMPLES} == pages.keys()
    for path in EXAMPLES:
        assert len(path.read_text().splitlines()) < 40
        assert f'--8<-- "examples/{path.name}"' in PAGES[pages[path.stem]]


def test_example_of_a_reader(tmp_path, monkeypatch):
    write_room(tmp_path / "room", 0, RoomSettings(frames=2))
    room = geoset.open_scan(tmp_path / "room")
    (tmp_path / "room/color").rename(tmp_path / "images")
    (tmp_path / "room/depth").rename(tmp_path / "depth")
    shots = [
        {"name": f.name, "camera_from_world": np.linalg.inv(f.world_from_camera).tolist()}
        for f in room.frames
    ]
    content = {"K": room.frames[0].camera.K.tolist(), "shots": shots}
    shots.append({"name": "lost", "camera_from_world": np.eye(4).tolist()})
    (tmp_path / "capture.json").write_text(json.dumps(content))
    reader = type("reader", (), runpy.run_path(str(ROOT / "examples/reader.py")))
    monkeypatch.setattr(detect, "READERS", (reader, *detect.READERS))
    scan = geoset.open_scan(tmp_path)
    assert scan.layout == "Capture" and scan.rejected == [("lost", "no colour file")]
    for ours, theirs in zip(scan.frames, room.frames, strict=True):
        np.testing.assert_allclose(ours.world_from_camera, theirs.world_from_camera, atol=1e-9)
        np.testing.assert_allclose(ours.camera.K, theirs.camera.K)


def test_example_of_a_loss(folder, monkeypatch, capsys):
    example = runpy.run_path(str(ROOT / "examples/loss.py"))
    features = torch.tensor([[1.0, 0, 5, -3], [0, 2, 0, 7]]).reshape(1, 2, 1, 4)
    # (1,0) and (0,1) about (.5,.5): 0.5 each; a set of one pixel: 0; the last is in no set.
    assert example["spread_loss"](features, torch.tensor([[[4, 4, 9, -1]]])) == pytest.approx(1 / 3)
    assert example["spread_loss"](features, torch.full((1, 1, 4), -1)) == 0
    monkeypatch.chdir(folder)
    run(["python", "examples/loss.py", "prepared/my_scan"], monkeypatch)
    assert "step 0: sets" in capsys.readouterr().out


def test_example_of_the_whole_method(tmp_path, monkeypatch, capsys):
    rooms, out = tmp_path / "rooms", tmp_path / "out"
    for seed, split in enumerate(("train", "val")):
        write_room(rooms / f"room-{seed}", seed, RoomSettings(frames=3))
        (rooms / f"{split}.txt").write_text(f"room-{seed}\n")
    run(["python", "examples/whole.py", str(rooms), str(rooms), str(out), "2"], monkeypatch)
    assert re.search(r"^mIoU 0\.\d+$", capsys.readouterr().out, re.MULTILINE)
    assert geoset.load_model(out / "encoder").out_channels == 32
    assert list((out / "encoder").glob("**/*timm*"))


@cache
def messages():
    """All texts of the source, joined as Python joins them, `...` for what is put in."""
    texts = []
    for path in Path(geoset.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "..." for p in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


QUOTED = re.findall(r"\*\*`(.*?)`\*\*", PAGES["troubleshooting"])


def test_quotes_are_found():
    assert len(QUOTED) >= 25


@pytest.mark.parametrize("message", QUOTED)
def test_message_is_of_the_source(message):
    assert any(message.removesuffix("...") in text for text in messages())


def test_named_commands_exist():
    for page, text in PAGES.items():
        for command in re.findall(r"`geoset (\w+)", text):
            assert command in COMMANDS, f"{page}: geoset {command}"


def test_every_public_name_is_in_the_reference():
    for name in set(geoset.__all__) - {"__version__", "losses"}:
        assert f"geoset.{name}}}" in PAGES["api"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built as `mkdocs build --strict` does."""
    config = pytest.importorskip("mkdocs.config")
    pytest.importorskip("mkdocstrings")
    from mkdocs.commands.build import build

    out = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        build(config.load_config("mkdocs.yml", strict=True, site_dir=str(out)))
    return out


def test_site_is_complete_and_asks_no_network(site):
    pages = {path.stem: path.read_text() for path in site.glob("*.html")}
    assert PAGES.keys() <= pages.keys()
    for name, page in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(.*?)"', page)
        loaded += re.findall(r'<link[^>]*\shref="(.*?)"', page)
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], name
    assert "Set-InfoNCE" in pages["api"] and "def spread_loss" in re.sub(
        "<.*?>", "", pages["extending"]
    )
