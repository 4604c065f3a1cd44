"""What a page of Markdown says to do: its code and its commands, and these at tiny scale."""

import re
import runpy
import shlex
import sys
from pathlib import Path

from geoset.cli import main

ROOT = Path(__file__).parents[1]
TINY = {
    "geoset demo": (
        "--workers 1 --pretrain-steps 2 --rooms.unlabelled 2 --rooms.unlabelled-frames 4 "
        "--rooms.labelled 1 --rooms.validation 1 --rooms.labelled-frames 2"
    ),
    "geoset pretrain": (
        "--stages.0.steps 2 --stages.1.steps 2 --batch-pairs 1 --geo.voxel-size 0.1 --workers 0"
    ),
    "geoset finetune": "--scale small --steps 2 --batch 2 --workers 0",
}


def blocks_of(text, kind):
    """The blocks of a kind, such as bash."""
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands_of(text):
    """The lines of bash, without `uv run` and what comes before it."""
    lines = [line for block in blocks_of(text, "bash") for line in block.splitlines()]
    return [line.split("uv run ", 1)[-1] for line in lines]


def at_tiny_scale(command):
    """The words of a command, with what makes it take seconds."""
    extra = next((more for start, more in TINY.items() if command.startswith(start)), "")
    return shlex.split(command if "--help" in command else f"{command} {extra}")


def run(words, patch):
    """Run a command in this process."""
    if words[0] == "python":
        patch.setattr(sys, "argv", words[1:])
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        return
    patch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as stop:  # that of --help
        assert stop.code == 0
