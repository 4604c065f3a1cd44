"""Help reads as a page: purpose, examples that parse, and a text, default and unit an option."""

import ast
import functools
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import geoset.cli
import geoset.recipes
from geoset.cli import COMMANDS, FINETUNE, labels, train
from geoset.cli.labels import chosen_segmentation
from geoset.cli.train import chosen_pretraining

PAGES = {
    **{name: command for name, command in COMMANDS.items() if name != "finetune"},
    **{f"finetune {name}": command for name, command in FINETUNE.items()},
}
RECIPES = {
    "pretrain": get_args(train.Recipe),
    "finetune segmentation": labels.SEGMENTATION_RECIPES,
    "finetune instances": labels.INSTANCE_RECIPES,
}


@pytest.fixture
def show(monkeypatch, capsys):
    """Return what `geoset WORDS` prints on a terminal of that width."""

    def run(words, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "argv", ["geoset", *shlex.split(words)])
        try:
            geoset.cli.main()
        except SystemExit as stop:
            assert stop.code in (0, None), capsys.readouterr().err
        return capsys.readouterr().out

    return run


def options_of(page):
    """What is below the usage: names of an option, and the text behind or below them, a line."""
    rows = [""]
    below = page.partition("\nusage: ")[2].replace("│", " ")
    for line in below.splitlines()[1:]:
        if not line.startswith("  ") or "──" in line:  # the title of a box, its frame
            rows.append("")
        elif re.match(r"  (-\w|--\w|[A-Z])", line):
            rows.append(line)
        else:
            rows[-1] += line
    return [" ".join(row.split()) for row in rows if re.match(r"  \S", row)]


def text_of(option):
    """The text of an option, without its names, what they take, and its default."""
    words = re.sub(r"\((required|default: .*)\)$", "", option)
    return re.sub(r"^(-\S+,? |\{.*?\} |[A-Z]+(\.\.\.)? |\.\.\. )+", "", words).strip()


def examples_of(page):
    block = page.partition("\nExamples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def test_texts_are_told_from_defaults():
    assert text_of("--out PATH folder of the run (default: none)") == "folder of the run"
    assert text_of("--falls FLOAT ... shares (default: 0.7 0.9)") == "shares"
    assert text_of("--kind {a,b} (default: a)") == ""
    assert text_of("--flip, --no-flip (default: False)") == ""


@pytest.mark.parametrize("width", [80, 120])
def test_overview(show, width):
    page = show("--help", width).splitlines()
    assert len(page) < 40 and max(map(len, page)) <= width
    rows = [line.split()[0] for line in page if re.match(r"  [a-z]+  +[A-Z]", line)]
    assert rows == list(COMMANDS)
    assert any(line.startswith("Usual order: inspect, prepare, ") for line in page)
    assert show("", width) == show("-h", width) == "\n".join(page) + "\n"


def test_overview_of_finetune(show):
    page = show("finetune --help")
    assert all(f"\n  {name} " in page for name in FINETUNE)
    assert show("finetune") == page


@pytest.mark.parametrize("name", PAGES)
def test_purpose_is_a_short_sentence(name):
    first, _, second = PAGES[name].__doc__.partition("\n")
    assert first.endswith(".") and second.strip(" ")[0] == "\n"
    assert len(first) <= 80 - len("  reproduce  ")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", PAGES)
def test_page(show, name, width):
    page = show(f"{name} --help", width)
    lines = [line for line in page.splitlines() if not line.startswith("usage: ")]
    assert [line for line in lines if len(line) > width] == []
    options = options_of(page)
    assert len(options) > 1
    assert [option for option in options if not text_of(option)] == []
    for odd in ("(default: )", "None", "666666", "e-0"):
        assert odd not in page


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_line_and_a_page(show, name):
    for recipe in RECIPES[name]:
        assert re.search(rf"\n    {recipe}  +\S", show(f"{name} --recipe {recipe} --help"))


def test_help_shows_the_settings_of_the_recipe(show):
    assert "stages.0.steps INT batches; takes precedence over epochs (default: 200)" in " ".join(
        options_of(show("pretrain --scale small --help"))
    )
    paper = " ".join(options_of(show("pretrain --recipe paper --help")))
    assert "--stages.0.epochs FLOAT passes over all pairs; or give steps (default: 5)" in paper


def without_running(command):
    """The same command line, of a command that does nothing."""
    if isinstance(command, functools.partial):
        return functools.partial(without_running(command.func), **command.keywords)
    return functools.wraps(command)(lambda *values, **options: None)


@pytest.mark.parametrize("name", PAGES)
def test_examples_parse(show, monkeypatch, name):
    examples = examples_of(show(f"{name} --help"))
    assert len(examples) >= 2
    cli = geoset.cli.tyro.cli
    monkeypatch.setattr(
        geoset.cli.tyro, "cli", lambda command, **rest: cli(without_running(command), **rest)
    )
    for example in examples:
        words = example.partition("geoset ")[2]  # behind ssh, too
        assert words.startswith(f"{name}")
        show(words)


def test_epochs_that_are_asked_for_are_not_cut_short():
    for scale in ("small", "full"):
        words = ["--recipe", "deeplabv3", "--scale", scale, "--epochs", "5"]
        assert chosen_segmentation(words).keywords["settings"].steps is None
        assert chosen_segmentation(words[:4]).keywords["settings"].steps
    moco = chosen_pretraining(["--recipe", "moco", "--scale", "small", "--epochs", "5"])
    assert moco.keywords["settings"].steps is None
    for words in (["--stages.1.epochs", "5"], ["--scale", "small", "--stages.1.epochs=5"]):
        stages = chosen_pretraining(words).keywords["settings"].stages
        assert stages[0].steps
        assert (stages[1].steps, stages[1].epochs) == (None, 1)


def test_evaluate_and_compare_offer_what_they_use(show):
    page = show("evaluate --help")
    assert "--accelerator" in page
    assert not re.search("--(nodes|compile|checkpoint)", page)
    assert "--accelerator" in show("compare --help")


@pytest.mark.parametrize("name", PAGES)
def test_texts_of_arguments_are_one_line(name):
    """A line break would be one in the middle of the help."""
    arguments = inspect.getdoc(PAGES[name]).partition("Args:\n")[2].splitlines()
    assert arguments and all(re.match(r"    \w+: ", line) for line in arguments)


@pytest.mark.parametrize("path", sorted(Path(geoset.recipes.__file__).parent.glob("*.py")))
def test_texts_of_settings_are_one_line(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert "\n" not in text.value.value, field.target.id


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("view", "PREPARED..."),
        ("pretrain --out run", "PREPARED..."),
        ("compare --out table", "MODELS..."),
        ("predict run --out found", "IMAGES..."),
    ],
)
def test_required_arguments_are_asked_for(monkeypatch, capsys, words, name):
    monkeypatch.setattr(sys, "argv", ["geoset", *words.split()])
    with pytest.raises(SystemExit, match="2"):
        geoset.cli.main()
    assert f"Error parsing {name}: expected one or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "pretrian prepared",
            "geoset: 'pretrian' is none of the commands; did you mean geoset pretrain? "
            "See them all: geoset --help\n",
        ),
        (
            "finetune --data my_labels",
            "geoset: '--data' is none of the commands. See them all: geoset finetune --help\n",
        ),
    ],
)
def test_an_unknown_command(monkeypatch, capsys, words, message):
    monkeypatch.setattr(sys, "argv", ["geoset", *words.split()])
    with pytest.raises(SystemExit, match="2"):
        geoset.cli.main()
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("words", ["--help", "pretrain --help"])
def test_nothing_fails_if_no_one_reads_on(words):
    command = [sys.executable, "-m", "geoset", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
