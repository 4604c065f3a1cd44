"""docs/formats.md: a section for every reader, and commands that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from geoset import cli
from geoset.scans.detect import READERS

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
HEADINGS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
COMMANDS = re.findall(r"^ {4}(geoset .*?)(?: +#.*)?$", PAGE, re.MULTILINE)


def test_every_reader_has_a_section_with_a_command():
    plain = [re.sub(r"[^a-z0-9+]", "", heading.lower()) for heading in HEADINGS]
    for reader in READERS:
        name = re.sub(r"[^a-z0-9+]", "", reader.LAYOUT.lower().replace("/", " and "))
        assert any(name in (heading, heading.removesuffix("export")) for heading in plain), name
    assert len([line for line in COMMANDS if line.startswith("geoset prepare")]) >= len(READERS)


def test_links_lead_to_sections():
    anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in HEADINGS}
    assert {*re.findall(r"\]\(#(.*?)\)", PAGE)} <= anchors


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command, monkeypatch, capsys):
    """Up to where work would begin: the tasks are not called."""
    called = []
    for module in ("prepare", "pretrain"):
        monkeypatch.setattr(
            f"geoset.tasks.{module}.{module}", lambda *args, **_: called.append(args) or Ended()
        )
    monkeypatch.setattr("sys.argv", shlex.split(command))
    cli.main()
    assert len(called) == 1, capsys.readouterr().err


class Ended:
    failed = ()
