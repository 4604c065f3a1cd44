"""What help shows beside the options: the overview of commands, and what each is for."""

import inspect
import shutil
import textwrap
from collections.abc import Callable, Mapping
from itertools import groupby


def overview(prog: str, purpose: str, commands: Mapping[str, Callable], end: str) -> str:
    """Return the page of `geoset --help`: a sentence a command, in the order of `commands`."""
    column = max(map(len, commands)) + 4
    rows = [
        textwrap.fill(
            sentence_of(command), _width(), initial_indent=f"  {name}".ljust(column),
            subsequent_indent=" " * column, break_on_hyphens=False,
        )
        for name, command in commands.items()
    ]  # fmt: skip
    usage = f"usage: {prog} COMMAND ...\n       {prog} COMMAND --help"
    return "\n\n".join([usage, _wrapped(purpose), "\n".join(rows), _wrapped(end)])


def sentence_of(command: Callable) -> str:
    """Return the first line of a command's docstring."""
    return inspect.getdoc(command).partition("\n")[0]


def description_of(command: Callable) -> str:
    """Return a command's docstring without its arguments."""
    return _wrapped(inspect.getdoc(command).partition("\nArgs:\n")[0].strip())


def _wrapped(text: str) -> str:
    """Fill paragraphs to the width of the terminal; indented lines stay as they are."""
    parts = []
    for as_it_is, lines in groupby(text.splitlines(), lambda line: line[:1] in ("", " ")):
        part = "\n".join(lines)
        parts.append(part if as_it_is else textwrap.fill(part, _width(), break_on_hyphens=False))
    return "\n".join(parts)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)
