"""The command line: one function a command. What they do lives in `geoset.tasks`."""

import difflib
import os
import sys
from collections.abc import Callable, Mapping

import tyro

from geoset import __version__
from geoset.cli.labels import (
    chosen_instances,
    chosen_segmentation,
    compare,
    evaluate,
    finetune,
    instances,
    predict,
    segmentation,
)
from geoset.cli.pages import description_of, overview, sentence_of
from geoset.cli.scans import group, inspect, layers, prepare
from geoset.cli.share import export
from geoset.cli.train import chosen_pretraining, demo, pretrain, reproduce
from geoset.cli.values import VALUES
from geoset.cli.view import view
from geoset.errors import GeosetError

COMMANDS = {  # in the order in which most are used
    "inspect": inspect,
    "prepare": prepare,
    "pretrain": pretrain,
    "compare": compare,
    "finetune": finetune,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "view": view,
    "layers": layers,
    "group": group,
    "reproduce": reproduce,
    "demo": demo,
}
FINETUNE = {"segmentation": segmentation, "instances": instances}
CHOSEN = {  # commands whose recipe decides on the defaults that help shows
    pretrain: chosen_pretraining,
    segmentation: chosen_segmentation,
    instances: chosen_instances,
}
HELP = {"-h", "--help"}
PURPOSE = "RGB-D scans in, pre-trained image encoders out."
ORDER = """\
Usual order: inspect, prepare, pretrain, compare, finetune, evaluate, predict.

  geoset demo            see it work, without data of your own
  geoset COMMAND --help  what a command does, examples, all options
  geoset --version

Documentation: docs/ in the repository; docs/start.md first."""
KINDS = """\
Both take images with labels (--data) and a network to begin with (--encoder): a run of geoset
pretrain, a file of weights, imagenet or scratch. What --data may be: docs/formats.md."""


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    arguments = sys.argv[1:]
    try:
        _dispatch(arguments)
    except BrokenPipeError:
        if not HELP.intersection(arguments):
            raise
        # What reads the help, such as `head`, has enough. Python's own flush would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GeosetError as error:
        print(f"geoset: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        raise SystemExit(130) from None


def _dispatch(arguments: list[str]) -> None:
    try:
        if arguments == ["--version"]:
            print(__version__)
        elif arguments[:1] == ["finetune"]:
            _run("geoset finetune", sentence_of(finetune), FINETUNE, KINDS, arguments[1:])
        else:
            _run("geoset", PURPOSE, COMMANDS, ORDER, arguments)
    finally:
        sys.stdout.flush()


def _run(
    prog: str, purpose: str, commands: Mapping[str, Callable], end: str, arguments: list[str]
) -> None:
    """Run the command that comes first in `arguments`, or print the overview of all."""
    name, *rest = arguments or ["--help"]
    if name in HELP:
        print(overview(prog, purpose, commands, end))
        return
    if name not in commands:
        near = difflib.get_close_matches(name, commands, n=1)
        raise GeosetError(
            f"'{name}' is none of the commands"
            + (f"; did you mean {prog} {near[0]}?" if near else ".")
            + f" See them all: {prog} --help"
        )
    command = commands[name]
    if HELP.intersection(rest):
        print(description_of(command), end="\n\n")  # above the usage: tyro would not keep its lines
    tyro.cli(
        CHOSEN[command](rest) if command in CHOSEN else command,
        prog=f"{prog} {name}",
        description="",
        args=rest,
        registry=VALUES,
    )
