"""Tables in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table, the first column of which holds names and the others figures."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [headings, *rows]]
    cells.insert(1, ["---", *["---:"] * (len(headings) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def percent(share: float | None) -> str:
    """Return a share in per cent; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.1f}"
