"""How options are read, and what help shows of their defaults."""

from typing import Literal

import pytest
import tyro

from geoset.cli.values import VALUES


def read(kind, words, default=None):
    """The value of `--x` on a command line."""

    def command(x: kind = default):
        return x

    return tyro.cli(command, args=["--x", *words], registry=VALUES)


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        (float, ["1e-5"], 1e-5),
        (float | None, ["2"], 2.0),
        (int | None, ["none"], None),
        (str | None, ["None"], None),
        (Literal["a", "b"] | None, ["b"], "b"),
        (Literal["a", "b"] | None, ["none"], None),
        (tuple[float, float, float] | None, ["0", "0", "1"], (0, 0, 1)),
        (tuple[float, float, float] | None, ["none"], None),
        (tuple[int, ...], ["3", "4"], (3, 4)),
        (tuple[str, ...], [], ()),
    ],
)
def test_values_are_read(kind, words, value):
    assert read(kind, words, default=value) == value


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int | None, ["half"]),
        (Literal["a", "b"] | None, ["c"]),
        (tuple[float, float, float] | None, ["0", "1"]),
        (tuple[int, ...], ["1", "x"]),
    ],
)
def test_other_words_are_refused(kind, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        read(kind, words, default=(1,) if kind == tuple[int, ...] else None)
    assert "--x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [
        (float, 2 / 3, "--x FLOAT (default: 0.6667)"),
        (float, 5.0, "--x FLOAT (default: 5)"),
        (float | None, 1e-5, "--x FLOAT (default: 1e-5)"),
        (float, 0.0025, "--x FLOAT (default: 0.0025)"),
        (float | None, 80, "--x FLOAT (default: 80)"),
        (int | None, None, "--x INT (default: none)"),
        (tuple[float, ...], (2 / 3, 8 / 9), "--x FLOAT ... (default: 0.6667 0.8889)"),
        (tuple[str, ...], (), "--x STR ... (default: none)"),
    ],
)
def test_defaults_are_shown(kind, default, shown, capsys):
    with pytest.raises(SystemExit, match="0"):
        read(kind, ["1", "--help"], default)
    assert shown in " ".join(capsys.readouterr().out.split())
