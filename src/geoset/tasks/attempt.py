"""One scan prepared, or the reason why not: whatever happens to it, the others go on."""

import tempfile
import time
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from geoset.errors import GeosetError
from geoset.prepare.data_set import publish_scene
from geoset.prepare.run import Progress, prepare_scene
from geoset.prepare.storage import Folder, LocalFolder
from geoset.recipes import PrepareSettings
from geoset.scans.scan import scan_name
from geoset.tasks.isolated import ProcessDiedError

PREPARED, FINISHED, FAILED = "prepared", "finished before", "failed"


@dataclass
class Outcome:
    """What became of one scan.

    status: PREPARED, FINISHED or FAILED
    info: its scene.json, unless it failed
    error: why it failed
    details: traceback, or what its process wrote before it died
    seconds: how long it took; None = nothing was done
    tried_again: whether a worker had died on it before
    """

    scan: Path
    status: str
    info: dict = field(default_factory=dict)
    error: str = ""
    details: str = ""
    seconds: float | None = None
    tried_again: bool = False

    @cached_property
    def scene(self) -> str:
        """The scene's name."""
        return scan_name(self.scan)

    @property
    def details_file(self) -> str:
        """Where its details are kept if it failed, below the folder of prepared scenes."""
        return f"failed/{self.scene}.txt"

    @property
    def reason(self) -> str:
        """The error without the scan's own path, so that the same one of many scans is counted."""
        return self.error.removeprefix(f"{self.scan}: ").replace(str(self.scan), "SCAN")


def attempt(scan: Path, show=lambda *_: None, *, out: Folder, settings: PrepareSettings) -> Outcome:
    """Prepare one scan; an exception becomes an outcome."""
    began = time.monotonic()
    try:
        outcome = Outcome(scan, PREPARED, info=_prepare_into(out, scan, settings, show))
    except Exception as error:
        outcome = failure(scan, error)
    outcome.seconds = time.monotonic() - began
    return outcome


def _prepare_into(out: Folder, scan: Path, settings: PrepareSettings, show: Progress) -> dict:
    if isinstance(out, LocalFolder):
        return prepare_scene(scan, out.path, settings, show).info
    with tempfile.TemporaryDirectory() as folder:
        info = prepare_scene(scan, Path(folder), settings, show).info
        name = scan_name(scan)
        show("sending", 0, 1)
        info["notes"] += publish_scene(Path(folder, name), out.place(name))
    return info


def failure(scan: Path, error: Exception) -> Outcome:
    """Return the outcome of an exception that is being handled."""
    known = isinstance(error, GeosetError)
    text = str(error) if known else f"{scan}: {type(error).__name__}: {error}"
    return Outcome(scan, FAILED, error=text, details=traceback.format_exc())


def death(scan: Path, died: ProcessDiedError) -> Outcome:
    """Return the outcome of a scan on which two processes died."""
    text = (
        f"{scan}: its worker died twice ({died.how}), the second time alone: perhaps out of memory"
    )
    return Outcome(scan, FAILED, error=text, details=f"{text}\n\n{died.log}")
