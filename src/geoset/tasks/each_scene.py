"""One function over many prepared scenes, in parallel, with a progress bar."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
from rich.console import Console
from rich.progress import Progress

from geoset.errors import GeosetError


def each_scene(
    function: Callable[[str | Path], Any],
    paths: Sequence[str | Path],
    what: str,
    workers: int = 1,
    console: Console | None = None,
) -> list[Any]:
    """Return `function(path)` of each path, in their order; `what` stands before the bar.

    Raises:
        GeosetError: workers is below 1, or what the function raises.
    """
    if workers < 1:
        raise GeosetError(f"workers is {workers}, expected 1 or more; 1 takes scene after scene")
    console = console or Console(stderr=True)
    pool = joblib.Parallel(n_jobs=min(workers, len(paths)), return_as="generator")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        results = pool(joblib.delayed(function)(path) for path in paths)
        return list(progress.track(results, total=len(paths), description=what))
