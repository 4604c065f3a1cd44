"""Prepare many scans: each on its own, none at the cost of the others."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import joblib
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from geoset.errors import GeosetError
from geoset.prepare.run import PrepareSettings, SceneReport, prepare_scene
from geoset.scans.detect import find_scans


@dataclass(frozen=True)
class PrepareSummary:
    """What became of each scan."""

    reports: list[SceneReport]

    @property
    def failed(self) -> list[SceneReport]:
        """Scans that could not be prepared."""
        return [report for report in self.reports if report.status == "failed"]


def prepare(
    scans: Path,
    out: Path,
    settings: PrepareSettings | None = None,
    workers: int = 1,
    console: Console | None = None,
) -> PrepareSummary:
    """Prepare a scan, or every scan in a folder, into `out`/<scan name>.

    Finished scenes are skipped; a scan that fails is reported and the others go on.

    Raises:
        GeosetError: `scans` holds no scan, or every one of them failed.
    """
    if workers < 1:
        raise GeosetError(f"workers is {workers}, expected 1 or more; 1 prepares scan after scan")
    settings, console = settings or PrepareSettings(), console or Console(stderr=True)
    paths, others, notes = find_scans(scans)
    with _progress(console) as progress:
        if workers == 1 or len(paths) == 1:
            reports = _one_by_one(paths, out, settings, progress)
        else:
            reports = _in_parallel(paths, out, settings, workers, progress)
    reports.sort(key=lambda report: report.scene)
    summary = PrepareSummary(reports)
    if len(reports) == len(summary.failed) == 1:
        raise GeosetError(reports[0].error)
    console.print(_table(reports))
    for line in notes + _notes(reports, others):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(summary.failed) == len(reports):
        raise GeosetError(f"{scans}: no scan could be prepared; the reasons stand above")
    return summary


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # a log would get an empty line of it
    )


def _one_by_one(
    paths: list[Path], out: Path, settings: PrepareSettings, progress: Progress
) -> list[SceneReport]:
    scans = progress.add_task("scans", total=len(paths), visible=len(paths) > 1)
    part = progress.add_task("", total=1)
    reports = []
    for path in paths:

        def show(what: str, done: int, total: int, path: Path = path) -> None:
            progress.update(part, description=f"{path.name}: {what}", completed=done, total=total)

        reports.append(_attempt(path, out, settings, show))
        progress.advance(scans)
    return reports


def _in_parallel(
    paths: list[Path], out: Path, settings: PrepareSettings, workers: int, progress: Progress
) -> list[SceneReport]:
    scans = progress.add_task(f"scans, {workers} workers", total=len(paths))
    pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    reports = []
    for report in pool(joblib.delayed(_attempt)(path, out, settings) for path in paths):
        reports.append(report)
        progress.advance(scans)
    return reports


def _attempt(path: Path, out: Path, settings: PrepareSettings, *show) -> SceneReport:
    try:
        return prepare_scene(path, out, settings, *show)
    except GeosetError as error:
        return SceneReport(path.resolve().name, "failed", error=str(error))


def _table(reports: list[SceneReport]) -> Table:
    table = Table(
        title="prepared scenes",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("scene", overflow="fold")
    for heading in ("frames", "rejected", "vertices", "sets", "pairs", "covered", "residual"):
        table.add_column(heading, justify="right", min_width=len(heading))
    for report in reports:
        name = report.scene if report.status == "prepared" else f"{report.scene} ({report.status})"
        table.add_row(name, *_figures(report.info))
    return table


def _figures(info: dict) -> list[str]:
    if not info:
        return [""] * 7
    frames = info["frames"]
    covered = sum(frame["covered"] for frame in frames) / len(frames)
    residuals = sorted(f["residual"] for f in frames if f["residual"] is not None)
    return [
        str(len(frames)),
        str(len(info["rejected"])),
        str(info["surface"]["vertices"]),
        str(info["sets"]),
        str(info["pairs"]["kept"]),
        f"{covered:.0%}",
        f"{residuals[len(residuals) // 2] * 1000:.1f} mm" if residuals else "-",
    ]


def _notes(reports: list[SceneReport], others: list[Path]) -> list[str]:
    """Say what was left out and why, and what the figures mean."""
    lines = [
        "covered: share of the pixels with depth that see the surface; "
        "residual: median distance of sensor and surface"
    ]
    reasons = Counter(reason for r in reports for _, reason in r.info.get("rejected", []))
    lines += [f"rejected frames: {count} x {reason}" for reason, count in reasons.most_common()]
    if others:
        names = ", ".join(path.name for path in others[:5]) + ", ..." * (len(others) > 5)
        lines.append(f"not scans, left alone: {len(others)} folders ({names})")
    for report in reports:
        pairs = report.info.get("pairs", {"found": 1, "kept": 1})
        if report.error:
            lines.append(f"failed: {report.error}")
        scan = report.info.get("scan", {"frame_step": 1})
        if scan["frame_step"] > 1:
            lines.append(
                f"{report.scene}: every {scan['frame_step']}th of {scan['frames']} usable frames "
                "(--frame-step)"
            )
        if pairs["found"] == 0:
            lines.append(
                f"{report.scene}: no two frames overlap enough; use a smaller --frame-step or "
                "--min-overlap"
            )
        elif pairs["kept"] < pairs["found"]:
            lines.append(f"{report.scene}: {pairs['found']} pairs found, {pairs['kept']} kept")
    return lines
