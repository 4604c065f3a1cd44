"""The README's commands and code, run as they stand there, on tiny scans and at tiny scale."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("uv run ", 1)[1]
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
]
TINY_TRAINING = "--stages.0.steps 2 --stages.1.steps 2 --batch-pairs 1 --geo.voxel-size 0.1"
TINY_FINETUNING = "--scale small --steps 2 --batch 2"
TINY_DEMO = (
    "--rooms 2 --frames 4 --labelled-rooms 1 --heldout-rooms 1 --labelled-frames 2 "
    "--recipe.stages.0.steps 2 --recipe.stages.1.steps 2 --recipe.batch-pairs 1"
)


def test_two_setup_commands_and_the_one_that_ci_runs():
    setup = [line for _, block in BLOCKS for line in block.splitlines() if "pip install uv" in line]
    assert setup == [
        "pip install uv && uv run geoset demo",
        "pip install uv && uv run pytest",
    ]
    assert setup[1] in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    write_room(folder / "my_scans" / "my_scan", 0, RoomSettings(frames=4))
    shutil.copytree(folder / "my_scans" / "my_scan", folder / "my_scan")
    shutil.copytree(folder / "my_scan" / "color", folder / "my_images")
    for name, kind in (("images", "color"), ("labels", "label")):
        shutil.copytree(folder / "my_scan" / kind, folder / "my_labels" / name)
    (folder / "my_labels" / "classes.txt").write_text("\n".join(ROOM_CLASSES))
    for split, frames in (("train", (0, 1)), ("val", (2, 3))):
        names = "".join(f"{frame:06d}\n" for frame in frames)
        (folder / "my_labels" / f"{split}.txt").write_text(names)
    return folder


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command != "pytest"], ids=lambda c: c[:40]
)
def test_command(command, folder):
    scale = {
        "geoset demo": TINY_DEMO,
        "geoset pretrain": TINY_TRAINING,
        "geoset finetune": TINY_FINETUNING,
    }
    extra = next((more for start, more in scale.items() if command.startswith(start)), "")
    if "--help" in command:
        extra = ""
    geoset, *arguments = shlex.split(f"{command} {extra}")
    program = Path(sys.executable).with_name(geoset)
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_code(folder, monkeypatch):
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["features"].shape == (2, 32, 120, 160)
    assert len(names["stages"]) == 4


def test_named_files_exist():
    for name in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / name).is_file(), name
