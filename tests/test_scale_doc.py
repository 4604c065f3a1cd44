"""The commands of docs/scale.md, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geoset.cli import main
from plane_scans import OPTIONS, write_plane_scans

TEXT = (Path(__file__).parents[1] / "docs/scale.md").read_text()
COMMANDS = sorted(set(re.findall(r"geoset prepare [^`\"\n]*", TEXT)))
CLUSTER = [command for command in COMMANDS if "--address" in command]
HERE = [command for command in COMMANDS if " prepared --" in command and command not in CLUSTER]


def run(command, folder):
    """Run a command as a shell does in the first of forty jobs."""
    environment = os.environ | {
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_ARRAY_TASK_COUNT": "40",
        "JOB_COMPLETION_INDEX": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = f"{command} {' '.join(OPTIONS)}"
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
    )


def test_all_are_found():
    """But for those that lack options, or name the folders of a container."""
    assert len(HERE) == 3 and len(CLUSTER) == 2


@pytest.mark.parametrize("command", HERE)
def test_command(command, tmp_path):
    write_plane_scans(tmp_path / "scans", 2)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prepared/s0000/scene.json").is_file()


@pytest.mark.parametrize("command", CLUSTER)
def test_command_without_its_cluster(command, tmp_path, monkeypatch, capsys):
    write_plane_scans(tmp_path / "scans", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*command.replace("head:8786", "nowhere").split(), *OPTIONS])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "; start it with: " in capsys.readouterr().err
