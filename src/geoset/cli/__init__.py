"""The command line: one function a command. What they do lives in `geoset.tasks`."""

import sys
from functools import partial

import tyro

from geoset import __version__
from geoset.cli.labels import compare, evaluate, finetune, finetune_main, predict
from geoset.cli.scans import group, inspect, layers, prepare
from geoset.cli.share import export
from geoset.cli.train import chosen_recipe, demo, pretrain, reproduce
from geoset.cli.view import view
from geoset.errors import GeosetError

COMMANDS = {
    "inspect": inspect,
    "prepare": prepare,
    "layers": layers,
    "group": group,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
    "predict": predict,
    "compare": compare,
    "export": export,
    "view": view,
    "reproduce": reproduce,
    "demo": demo,
}
DESCRIPTION = "RGB-D scans in, pre-trained image encoders out."


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(__version__)
        return
    try:
        if arguments[:1] == ["finetune"]:
            finetune_main(arguments[1:])
            return
        commands = COMMANDS | {"pretrain": partial(pretrain, settings=chosen_recipe(arguments))}
        tyro.extras.subcommand_cli_from_dict(commands, prog="geoset", description=DESCRIPTION)
    except GeosetError as error:
        print(f"geoset: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        raise SystemExit(130) from None
