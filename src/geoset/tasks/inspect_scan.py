"""What a scan holds, what it lacks, and what that means; and the same of many scans."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.prepare.run import FULL_RATE_STEP
from geoset.scans.detect import open_scan
from geoset.scans.scan import FrameError, Scan, count_reasons
from geoset.scans.trajectory import motion

SAMPLED_FRAMES = 50  # whose depth is read for statistics
LISTED = 20  # scans that cannot be used, notes
NO_SURFACE = "without depth and mesh there is no surface: the scan cannot be prepared"


def print_scan(scan: Scan, console: Console) -> None:
    """Print what a scan holds and lacks, and what to do with it."""
    table = Table(title=escape(str(scan.path)), title_justify="left", show_header=False)
    surface = _surface(scan)
    for rows in (_frames(scan), _depth(scan), _pose_statistics(scan), surface, _labels(scan)):
        for name, value in rows.items():
            table.add_row(escape(name), escape(value))
    console.print(table)
    for note in scan.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    what = f"geoset prepare {scan.path} OUT"
    if surface["mesh"] == NO_SURFACE:
        what = "export depth images, or a mesh.ply, into the scan's folder"
    console.print(f"next: {what}", highlight=False, markup=False, soft_wrap=True)


def print_scans(paths: list[Path], console: Console) -> None:
    """Print the figures of many scans by layout, and name those that cannot be used."""
    # Only figures are kept: thousands of scans hold millions of frames.
    figures: dict[str, Counter] = defaultdict(Counter)
    unusable, rejected, notes = [], Counter(), Counter()
    for path in paths:
        try:
            scan = open_scan(path)
        except GeosetError as error:
            unusable.append(f"cannot be used: {error}")
            continue
        figures[scan.layout].update(
            scans=1,
            usable=len(scan.frames),
            rejected=len(scan.rejected),
            depth=int(scan.frames[0].read_depth is not None),
            mesh=int(scan.read_mesh is not None),
        )
        rejected.update(count_reasons(scan.rejected))
        notes.update(scan.notes)
    table = Table(title=f"{len(paths)} scans", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layout", "scans", "usable frames", "rejected", "with depth", "with mesh"):
        table.add_column(heading, justify="left" if heading == "layout" else "right")
    for layout, of_layout in figures.items():
        table.add_row(layout, *map(str, of_layout.values()))
    console.print(table)
    lines = [f"rejected frames: {n} x {why}" for why, n in rejected.most_common()]
    lines += [f"note: {note} ({count} scans)" for note, count in notes.most_common(LISTED)]
    lines += unusable[:LISTED]
    if len(unusable) > LISTED:
        lines.append(f"cannot be used: {len(unusable) - LISTED} more")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _frames(scan: Scan) -> dict[str, str]:
    first, last = scan.frames[0], scan.frames[-1]
    rows = {
        "layout": scan.layout,
        "usable frames": f"{len(scan.frames)} ({first.name} .. {last.name})",
    }
    if scan.full_rate:
        rows["of them"] = f"every {FULL_RATE_STEP}th is used, for it is a video (--frame-step)"
    for reason, count in count_reasons(scan.rejected).items():
        names = [name for name, why in scan.rejected if why == reason]
        some = ", ".join(names[:5]) + ", ..." * (count > 5)
        rows[f"rejected: {reason}"] = f"{count} ({some})"
    rows["colour"] = _describe_camera(first.camera)
    return rows


def _depth(scan: Scan) -> dict[str, str]:
    frame = scan.frames[0]
    if frame.read_depth is None:
        return {"depth": "none: the mesh alone says what a pixel sees, and nothing checks it"}
    return {"depth": _describe_camera(frame.depth_camera), **_depth_statistics(scan)}


def _surface(scan: Scan) -> dict[str, str]:
    """Return what is known of the mesh and of labels of its vertices."""
    if scan.read_mesh is None:
        has_depth = scan.frames[0].read_depth is not None
        fused = "none: the surface will be fused from depth"
        return {"mesh": fused if has_depth else NO_SURFACE}
    try:
        mesh = scan.mesh
    except GeosetError as error:
        return {"mesh": f"cannot be used: {error}"}
    rows = {"mesh": f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces"}
    if len(mesh.faces) == 0:
        rows["mesh"] += ": a surface needs faces; remove it to have one fused from depth"
    labels = (f"{layer} ({given.source})" for layer, given in scan.surface_labels.items())
    rows["labels of the mesh"] = ", ".join(labels) or "none (not needed)"
    return rows


def _labels(scan: Scan) -> dict[str, str]:
    """Return which label images and masks there are."""
    layers = Counter(layer for frame in scan.frames for layer in frame.read_labels)
    counts = (f"{layer} of {count} frames" for layer, count in sorted(layers.items()))
    rows = {"label images": ", ".join(counts) or "none (not needed)"}
    masked = sum(frame.read_mask is not None for frame in scan.frames)
    if masked:
        rows["masks"] = f"of {masked} frames"
    return rows


def _describe_camera(camera: Camera) -> str:
    fov = np.degrees(2 * np.arctan(camera.width / 2 / camera.K[0, 0]))
    return (
        f"{camera.width}x{camera.height}, f {camera.K[0, 0]:.1f} {camera.K[1, 1]:.1f}, "
        f"centre {camera.K[0, 2]:.1f} {camera.K[1, 2]:.1f}, {fov:.0f} degrees wide"
    )


def _depth_statistics(scan: Scan) -> dict[str, str]:
    chosen = scan.frames[:: -(-len(scan.frames) // SAMPLED_FRAMES)]
    values, valid, unreadable = [], [], 0
    for frame in chosen:
        try:
            depth = frame.depth()
        except FrameError:
            unreadable += 1
            continue
        valid.append((depth > 0).mean())
        values.append(depth[depth > 0][::17])
    if not values or not sum(map(len, values)):
        return {"depth values": f"none valid in {len(chosen)} frames"}
    low, middle, high = np.percentile(np.concatenate(values), [1, 50, 99])
    statistics = {
        "depth values": f"1 % under {low:.2f} m, median {middle:.2f} m, 1 % over {high:.2f} m",
        "depth holes": f"{1 - np.mean(valid):.0%} of pixels (in {len(valid)} frames)",
    }
    if unreadable:
        statistics["unreadable depth"] = f"{unreadable} of {len(chosen)} frames"
    return statistics


def _pose_statistics(scan: Scan) -> dict[str, str]:
    poses = np.stack([frame.world_from_camera for frame in scan.frames])
    extent = np.ptp(poses[:, :3, 3], axis=0)
    step, turn = motion(poses)
    statistics = {"camera walk": " x ".join(f"{e:.1f}" for e in extent) + " m"}
    if len(step):
        statistics["between frames"] = (
            f"median {np.median(step):.2f} m and {np.median(turn):.0f} degrees, "
            f"largest {step.max():.2f} m and {turn.max():.0f} degrees"
        )
    return statistics
