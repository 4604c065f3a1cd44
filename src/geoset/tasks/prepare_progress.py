"""How far preparing is, while it goes on."""

from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from geoset.scans.scan import scan_name

LINES = 8  # scans at work that are shown one by one
PERIOD = 3600  # seconds that the time left is estimated from


class PrepareProgress:
    """A bar for all scans, and one for each that is being worked on. A context.

    It is drawn on terminals only: a log would get an empty line of it.
    """

    def __init__(self, console: Console, scans: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=PERIOD,
        )
        self._all = self._progress.add_task("scans", total=scans, visible=scans > 1)
        self._at_work: dict[Path, TaskID] = {}

    def __enter__(self) -> "PrepareProgress":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, scan: Path, what: str, done: int, total: int) -> None:
        """Say what is being done with a scan, and how far that is."""
        text = f"{scan_name(scan)}: {what}"
        if scan in self._at_work:
            self._progress.update(
                self._at_work[scan], description=text, completed=done, total=total
            )
        elif len(self._at_work) < LINES:
            self._at_work[scan] = self._progress.add_task(text, completed=done, total=total)

    def settle(self, scan: Path) -> None:
        """Count a scan whose outcome is known."""
        if scan in self._at_work:
            self._progress.remove_task(self._at_work.pop(scan))
        self._progress.advance(self._all)
