"""Say what a path holds, and draw it if it is prepared."""

from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoset.errors import GeosetError
from geoset.files import digest
from geoset.prepare.data_set import find_scenes, open_scenes
from geoset.prepare.scene import PreparedScene
from geoset.prepare.storage import is_url, open_folder
from geoset.reports.figures import save_picture, scene_sheet
from geoset.scans.detect import FoundScans, find_scans, open_scan
from geoset.scans.scan import count_reasons
from geoset.tasks.attempt import FINISHED, Outcome
from geoset.tasks.inspect_scan import print_scan, print_scans
from geoset.tasks.prepare_report import PrepareSummary
from geoset.tasks.prepare_summary import print_summary

MANY = 10  # scans, or scenes; of more only sums are printed, and no picture is drawn


def inspect(path: str | Path, out: Path | None = None, frames: int = 4) -> list[Path]:
    """Print what `path` holds: a scan, prepared scenes, or a folder of scans.

    Of a prepared scene a contact sheet of `frames` frames is drawn to `out`, by default
    <scene>/contact_sheet.png, or <name of the scene>.png in this folder if the scene is at a URL.
    Of more than 10 scenes the figures are summed up and nothing is drawn. Returns the pictures
    drawn.
    """
    if frames < 1:
        raise GeosetError(f"frames is {frames}, expected 1 or more to draw")
    console = Console()
    if _is_prepared(path):
        scenes = find_scenes([path])
        if out is not None and len(scenes) > 1:
            raise GeosetError(f"{path}: holds {len(scenes)} scenes; name one of them to use --out")
        if len(scenes) > MANY:
            _inspect_many_prepared(path, console)
            _say(console, f"next: geoset inspect {scenes[0]} checks that one, and draws it")
            return []
        return [_inspect_prepared(scene, out, frames, console) for scene in scenes]
    scans, others, _ = find_scans(Path(path), split="all")
    if len(scans) > MANY:
        print_scans(scans, console)
    else:
        _inspect_scans(scans, console)
    if others:
        names = ", ".join(other.name for other in others[:MANY]) + ", ..." * (len(others) > MANY)
        _say(console, f"not scans: {names}")
    if len(scans) > 1:
        _say(console, f"next: geoset inspect {scans[0]}, or geoset prepare {path} OUT")
    return []


def _inspect_scans(scans: list[Path], console: Console) -> None:
    for path in scans:
        try:
            print_scan(open_scan(path), console)
        except GeosetError as error:
            if len(scans) == 1:
                raise
            _say(console, f"cannot be used: {error}")


def _inspect_many_prepared(path: str | Path, console: Console) -> None:
    scenes = open_scenes([path])
    outcomes = [Outcome(Path(scene.name), FINISHED, scene.info) for scene in scenes]
    summary, no_scans = PrepareSummary(outcomes, Counter()), FoundScans([], [], [])
    print_summary(summary, no_scans, open_folder(path), console)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _is_prepared(path: str | Path) -> bool:
    if is_url(path):  # where scans are not read from
        return True
    return Path(path, "scene.json").is_file() or any(Path(path).glob("*/scene.json"))


def _inspect_prepared(path: str | Path, out: Path | None, frames: int, console: Console) -> Path:
    scene = PreparedScene(path)
    for name, entry in scene.info["files"].items():
        with scene.file(name) as file:
            if digest(file) != entry:
                raise GeosetError(
                    f"{file}: its content changed since it was prepared. Remove the scene's "
                    "folder and run geoset prepare again"
                )
    info, entries = scene.info, scene.info["frames"]
    table = Table(title=escape(str(path)), title_justify="left", show_header=False)
    table.add_row("from", escape(f"{info['scan']['path']} ({info['scan']['layout']})"))
    table.add_row("frames", f"{len(scene)} of {entries[0]['width']}x{entries[0]['height']}")
    for reason, count in count_reasons([tuple(r) for r in info["rejected"]]).items():
        table.add_row(f"rejected: {reason}", str(count))
    surface = info["surface"]
    table.add_row(
        "surface", f"{surface['vertices']} vertices, {surface['faces']} faces, {surface['source']}"
    )
    for layer in scene.layers:
        labels = np.asarray(scene.sets(layer))
        sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
        median = f", median {np.median(sizes):.0f} vertices" if len(sizes) else ""
        table.add_row(escape(f"layer {layer}"), f"{len(sizes)} sets{median}")
    table.add_row("pairs", f"{len(scene.pairs)} kept of {info['pairs']['found']}")
    for reason, count in info["pairs"]["left_out"].items():
        table.add_row(f"pairs left out: {reason}", str(count))
    if info["pairs"]["residual"] is not None:
        table.add_row("pairs' residual", f"median {info['pairs']['residual'] * 1000:.1f} mm")
    covered = np.mean([entry["covered"] for entry in entries])
    table.add_row("covered", f"{covered:.1%} of pixels with depth see the surface")
    residual = [entry["residual"] for entry in entries if entry["residual"] is not None]
    if residual:
        worst = int(np.argmax([entry["residual"] or 0 for entry in entries]))
        table.add_row(
            "residual",
            f"median {np.median(residual) * 1000:.1f} mm, worst frame {entries[worst]['id']} "
            f"{max(residual) * 1000:.1f} mm",
        )
    out = out or Path(f"{scene.name}.png" if is_url(path) else path / "contact_sheet.png")
    save_picture(scene_sheet(scene, frames), out)
    table.add_row("picture", escape(str(out)))
    console.print(table)
    for note in info["notes"]:
        _say(console, f"note: {note}")
    return out
