"""The README's commands and code, run as they stand there, on tiny scans and at tiny scale."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from documented import ROOT, at_tiny_scale, blocks_of, commands_of, run
from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room
from tasks.same_process import run_in_this_process

README = (ROOT / "README.md").read_text()
COMMANDS = commands_of(README)
# Run as programs: an import that is missing shows only there. For all, starting takes too long.
PROGRAMS = (
    "geoset inspect my_scan",
    "geoset pretrain prepared --recipe small",
    "geoset finetune segmentation",
)


def test_two_setup_commands_and_the_one_that_ci_runs():
    setup = [line for line in README.splitlines() if "pip install uv" in line]
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
def test_command(command, folder, monkeypatch):
    words = at_tiny_scale(command)
    if command.startswith(PROGRAMS):
        words[0] = Path(sys.executable).with_name(words[0])
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    monkeypatch.chdir(folder)
    if command == "geoset demo":
        run_in_this_process(monkeypatch)
    run(words, monkeypatch)


def test_programs_are_among_the_commands():
    assert all(any(c.startswith(program) for c in COMMANDS) for program in PROGRAMS)


def test_code(folder, monkeypatch):
    (code,) = blocks_of(README, "python")
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["features"].shape == (2, 32, 120, 160)
    assert len(names["stages"]) == 4


LINKS = sorted(set(re.findall(r"\]\((?!https?:)([^)]+)\)", README)))


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link):
    name, _, anchor = link.partition("#")
    target = ROOT / name if name else ROOT / "README.md"
    assert target.is_file()
    if anchor:
        headings = re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
