"""What became of many scans, for machines to read: `report.json`."""

import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

import numba
import numpy as np

import geoset
from geoset.recipes import PrepareSettings
from geoset.scans.scan import count_reasons
from geoset.tasks.attempt import FAILED, FINISHED, Outcome


@dataclass(frozen=True)
class PrepareSummary:
    """What became of each scan.

    outdated: how many finished scenes were to be prepared again, by the reason
    """

    reports: list[Outcome]
    outdated: Counter[str]

    @property
    def failed(self) -> list[Outcome]:
        """Scans that could not be prepared."""
        return [outcome for outcome in self.reports if outcome.status == FAILED]


def report_of(
    summary: PrepareSummary,
    settings: PrepareSettings,
    run: dict,
    former: Mapping[str, float | None],
) -> dict[str, Any]:
    """Return what `report.json` holds.

    run: what shall be said of how the scans were prepared
    former: seconds that scenes took which were finished before
    """
    scenes = [_scene(outcome, former.get(outcome.scene)) for outcome in summary.reports]
    return {
        "versions": {
            "geoset": geoset.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
        "run": run,
        "settings": asdict(settings),
        "counts": dict(Counter(outcome.status for outcome in summary.reports)),
        "outdated": dict(summary.outdated),
        "failures": dict(Counter(outcome.reason for outcome in summary.failed).most_common()),
        "rejected_frames": rejected_frames(summary.reports),
        "seconds": sum(outcome.seconds or 0 for outcome in summary.reports),
        "scenes": scenes,
    }


def rejected_frames(outcomes: list[Outcome]) -> dict[str, int]:
    """Count the rejected frames of all scenes by reason, most frequent first."""
    return count_reasons([tuple(r) for o in outcomes for r in o.info.get("rejected", [])])


def _scene(outcome: Outcome, former: float | None) -> dict[str, Any]:
    entry = {
        "scene": outcome.scene,
        "scan": str(outcome.scan),
        "status": outcome.status,
        "seconds": former if outcome.status == FINISHED else outcome.seconds,
        "tried_again": outcome.tried_again,
    }
    if outcome.status == FAILED:
        return {**entry, "error": outcome.error, "details": outcome.details_file}
    return {**entry, **figures(outcome.info)}


def figures(info: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a prepared scene.

    covered: mean share of the pixels with depth that see the surface
    residual: metres, median of the frames' distances of sensor and surface; None without depth
    """
    frames = info["frames"]
    residuals = [frame["residual"] for frame in frames if frame["residual"] is not None]
    return {
        "layout": info["scan"]["layout"],
        "frames": len(frames),
        "frame_step": info["scan"]["frame_step"],
        "usable_frames": info["scan"]["frames"],
        "rejected": count_reasons([tuple(r) for r in info["rejected"]]),
        "vertices": info["surface"]["vertices"],
        "sets": info["sets"],
        "pairs": info["pairs"],
        "covered": fmean(frame["covered"] for frame in frames),
        "residual": median(residuals) if residuals else None,
        "bytes": sum(entry["bytes"] for entry in info["files"].values()),
        "notes": info.get("notes", []),
    }
