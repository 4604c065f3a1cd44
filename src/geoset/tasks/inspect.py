"""Say what a path holds, and draw it if it is prepared."""

from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from geoset.errors import GeosetError
from geoset.files import atomic_path, digest
from geoset.geometry.camera import Camera
from geoset.prepare.data_set import find_scenes
from geoset.prepare.scene import PreparedScene
from geoset.prepare.storage import is_url
from geoset.reports.figures import scene_sheet
from geoset.scans.detect import find_scans, open_scan
from geoset.scans.scan import FrameError, Scan, count_reasons

SAMPLED_FRAMES = 50  # whose depth is read for statistics


def inspect(path: str | Path, out: Path | None = None, frames: int = 4) -> list[Path]:
    """Print what `path` holds: a scan, prepared scenes, or a folder of scans.

    Of a prepared scene a contact sheet of `frames` frames is drawn to `out`, by default
    <scene>/contact_sheet.png, or <name of the scene>.png in this folder if the scene is at a URL.
    Returns the pictures drawn.
    """
    if frames < 1:
        raise GeosetError(f"frames is {frames}, expected 1 or more to draw")
    console = Console()
    if _is_prepared(path):
        scenes = find_scenes([path])
        if out is not None and len(scenes) > 1:
            raise GeosetError(f"{path}: holds {len(scenes)} scenes; name one of them to use --out")
        return [_inspect_prepared(scene, out, frames, console) for scene in scenes]
    scans, others, _ = find_scans(Path(path), split="all")
    for scan in scans:
        try:
            _inspect_scan(open_scan(scan), console)
        except GeosetError as error:
            if len(scans) == 1:
                raise
            console.print(f"cannot be used: {error}", highlight=False, markup=False)
    if others:
        names = ", ".join(other.name for other in others)
        console.print(f"not scans: {names}", highlight=False, markup=False)
    return []


def _is_prepared(path: str | Path) -> bool:
    if is_url(path):  # where scans are not read from
        return True
    return Path(path, "scene.json").is_file() or any(Path(path).glob("*/scene.json"))


def _inspect_scan(scan: Scan, console: Console) -> None:
    frame = scan.frames[0]
    table = Table(title=str(scan.path), title_justify="left", show_header=False)
    table.add_row("layout", scan.layout)
    table.add_row("usable frames", f"{len(scan.frames)} ({frame.name} .. {scan.frames[-1].name})")
    for reason, count in count_reasons(scan.rejected).items():
        names = [name for name, why in scan.rejected if why == reason]
        table.add_row(
            f"rejected: {reason}", f"{count} ({', '.join(names[:5])}{', ...'[: 5 * (count > 5)]})"
        )
    table.add_row("colour", _describe_camera(frame.camera))
    if frame.read_depth is None:
        table.add_row("depth", "none: vertex maps will rely on the mesh alone")
    else:
        table.add_row("depth", _describe_camera(frame.depth_camera))
        for name, value in _depth_statistics(scan).items():
            table.add_row(name, value)
    for name, value in _pose_statistics(scan).items():
        table.add_row(name, value)
    mesh = scan.mesh
    table.add_row(
        "mesh",
        f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces"
        if mesh
        else "none: the surface will be fused from depth",
    )
    table.add_row("label images", ", ".join(sorted(frame.read_labels)) or "none (not needed)")
    console.print(table)
    console.print(f"next: geoset prepare {scan.path} OUT", highlight=False, soft_wrap=True)


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
    position = poses[:, :3, 3]
    extent = np.ptp(position, axis=0)
    step = np.linalg.norm(np.diff(position, axis=0), axis=1)
    relative = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    turn = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    statistics = {"camera walk": " x ".join(f"{e:.1f}" for e in extent) + " m"}
    if len(step):
        statistics["between frames"] = (
            f"median {np.median(step):.2f} m and {np.median(turn):.0f} degrees, "
            f"largest {step.max():.2f} m and {turn.max():.0f} degrees"
        )
    return statistics


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
    table = Table(title=str(path), title_justify="left", show_header=False)
    table.add_row("from", f"{info['scan']['path']} ({info['scan']['layout']})")
    table.add_row("frames", f"{len(scene)} of {entries[0]['width']}x{entries[0]['height']}")
    for reason, count in count_reasons([tuple(r) for r in info["rejected"]]).items():
        table.add_row(f"rejected: {reason}", str(count))
    surface = info["surface"]
    table.add_row(
        "surface", f"{surface['vertices']} vertices, {surface['faces']} faces, {surface['source']}"
    )
    for layer in scene.layers:
        sizes = np.unique(np.asarray(scene.sets(layer)), return_counts=True)[1]
        table.add_row(
            f"layer {layer}", f"{len(sizes)} sets, median {np.median(sizes):.0f} vertices"
        )
    table.add_row("pairs", f"{len(scene.pairs)} kept of {info['pairs']['found']}")
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
    table.add_row("picture", str(out))
    console.print(table)
    return out


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, all or nothing."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
