"""What became of many scans, for people to read: a table, and what stands out."""

from collections import Counter, defaultdict
from statistics import fmean, median
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoset.prepare.storage import Folder
from geoset.scans.detect import FoundScans
from geoset.tasks.attempt import FAILED, PREPARED
from geoset.tasks.prepare_report import PrepareSummary, figures, rejected_frames

ROWS = 30  # of scenes; more are summed up
NAMED = 5  # scenes, of those that have something in common
LINES = 20  # of notes, and of failures
LITTLE_COVERED, LARGE_RESIDUAL = 0.5, 0.03  # worth a look
NO_PAIRS = "no two frames overlap enough; use a smaller --frame-step or --min-overlap"
HEADINGS = ("frames", "rejected", "vertices", "sets", "pairs", "covered", "residual")


def print_summary(
    summary: PrepareSummary, found: FoundScans, out: Folder, console: Console
) -> None:
    """Print the figures of all scenes, and what was left out and why."""
    scenes = {o.scene: figures(o.info) for o in summary.reports if o.status != FAILED}
    console.print(_table(summary, scenes))
    lines = [
        "covered: share of the pixels with depth that see the surface; "
        "residual: median distance of sensor and surface",
        *(f"prepared again: {count} x {why}" for why, count in summary.outdated.most_common()),
        *(f"rejected frames: {n} x {why}" for why, n in rejected_frames(summary.reports).items()),
        *(f"pairs left out: {count} x {why}" for why, count in _pairs_left_out(scenes).items()),
        *_tried_again(summary),
        *found.notes,
        *_oddities(scenes),
    ]
    if found.others:
        lines.append(f"not scans, left alone: {_some([path.name for path in found.others])}")
    lines += [f"failed: {outcome.error}" for outcome in summary.failed[:LINES]]
    if len(summary.failed) > LINES:
        lines.append(f"failed: {len(summary.failed) - LINES} more: see report.json")
    if summary.failed:
        lines.append(f"tracebacks: {out.place('failed')}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(summary: PrepareSummary, scenes: dict[str, dict]) -> Table:
    table = Table(
        title="prepared scenes",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("scene", overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", min_width=len(heading))
    statuses = {outcome.scene: outcome.status for outcome in summary.reports}
    if len(statuses) <= ROWS:
        for scene, status in statuses.items():
            name = scene if status == PREPARED else f"{scene} ({status})"
            table.add_row(escape(name), *(_row([scenes[scene]]) if scene in scenes else ()))
        return table
    for status, count in Counter(statuses.values()).items():
        group = [scene for name, scene in scenes.items() if statuses[name] == status]
        table.add_row(f"{count} {status}", *(_row(group) if group else ()))
    return table


def _row(scenes: list[dict[str, Any]]) -> list[str]:
    """Return sums of frames and pairs, and medians of the rest."""
    residuals = [scene["residual"] for scene in scenes if scene["residual"] is not None]
    return [
        str(sum(scene["frames"] for scene in scenes)),
        str(sum(sum(scene["rejected"].values()) for scene in scenes)),
        f"{median(scene['vertices'] for scene in scenes):.0f}",
        f"{median(scene['sets'] for scene in scenes):.0f}",
        str(sum(scene["pairs"]["kept"] for scene in scenes)),
        f"{fmean(scene['covered'] for scene in scenes):.0%}",
        f"{median(residuals) * 1000:.1f} mm" if residuals else "-",
    ]


def _tried_again(summary: PrepareSummary) -> list[str]:
    names = [outcome.scene for outcome in summary.reports if outcome.tried_again]
    why = "tried again alone, since their worker died: perhaps fewer --workers fit into memory"
    return [f"{_some(names)}: {why}"] if names else []


def _pairs_left_out(scenes: dict[str, dict[str, Any]]) -> Counter[str]:
    return sum((Counter(scene["pairs"]["left_out"]) for scene in scenes.values()), Counter())


def _oddities(scenes: dict[str, dict[str, Any]]) -> list[str]:
    """Return what stands out, each with the names of the scenes that it is true of."""
    named = defaultdict(list)
    for name, scene in scenes.items():
        if scene["frame_step"] > 1:
            named[f"every {scene['frame_step']}th usable frame (--frame-step)"].append(name)
        if scene["pairs"]["found"] == 0:
            named[NO_PAIRS].append(name)
        if scene["covered"] < LITTLE_COVERED:
            named[f"covered is under {LITTLE_COVERED:.0%}, look at it: geoset inspect"].append(name)
        if (scene["residual"] or 0) > LARGE_RESIDUAL:
            named[
                f"residual is over {LARGE_RESIDUAL * 1000:.0f} mm, look at it: geoset inspect"
            ].append(name)
        for note in scene["notes"]:
            named[note].append(name)
    lines = [f"{_some(names)}: {what}" for what, names in named.items()]
    more = len(lines) - LINES
    return lines if more <= 0 else [*lines[:LINES], f"{more} more notes: see report.json"]


def _some(names: list[str]) -> str:
    named = ", ".join(names[:NAMED])
    return named if len(names) <= NAMED else f"{named}, ... ({len(names)} in all)"
