"""ScanNet: a `.sens` file, or a scene's folder with it or with the frames exported from it.

What lies beside and is called after the scene is used: the mesh `<scene>_vh_clean_2.ply`, labels of
its vertices, zipped label images. Images in `mask/`, called by the number of the frame, say where
pixels must not be used.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from geoset.errors import GeosetError
from geoset.geometry.ply import read_ply
from geoset.scans import folders
from geoset.scans.decode import IMAGE_SUFFIXES, files_by_stem, read_mask, visible
from geoset.scans.scan import Frame, Scan
from geoset.scans.scannet_images import add_label_images
from geoset.scans.scannet_labels import read_surface_labels
from geoset.scans.sens import read_sens
from geoset.scans.splits import SCANNET_SCENE

LAYOUT = "ScanNet"
LOOKS_FOR = "scene0000_00.sens, or a folder with it, or with frames exported from it"

MESH = "_vh_clean_2.ply"
SENS_READER = "intrinsic/intrinsic_color.txt"  # of its exports alone


def matches(path: Path) -> bool:
    """Tell whether `path` is a .sens file, or a folder with one, a scene's mesh or its export."""
    if not path.is_dir():
        return _is_sens(path)
    scene = path.resolve().name
    if len(_sens_files(path)) == 1 or (path / f"{scene}{MESH}").is_file():
        return True
    of_scannet = SCANNET_SCENE.fullmatch(scene) or (path / SENS_READER).is_file()
    return bool(of_scannet) and folders.matches(path)


def read(path: Path) -> Scan:
    """Read a scene; its frames are those of its .sens file, if it has one.

    Raises:
        GeosetError: there are no frames, or what they have in common cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    videos = _sens_files(folder)
    alone = len(videos) <= 1  # else mask/ and mesh.ply could be of any of them
    if path.is_dir() and not (alone and videos):
        scene, scan = path.resolve().name, _read_export(path)
    else:
        video = videos[0] if path.is_dir() else path
        scene, scan = video.stem, _read_video(path, video, folder / folders.MASK_FOLDER, alone)
    scan.frames, notes = add_label_images(scan.frames, folder, scene)
    scan.notes += notes
    meshes = [folder / "mesh.ply"] * alone + [folder / f"{scene}{MESH}"]
    mesh = next((file for file in meshes if file.is_file()), None)
    if mesh is not None:
        scan.read_mesh = partial(read_ply, mesh)
        scan.surface_labels, notes = read_surface_labels(folder, scene, mesh)
        scan.notes += notes
    return scan


def _is_sens(path: Path) -> bool:
    return path.suffix == ".sens" and path.is_file()


def _sens_files(folder: Path) -> list[Path]:
    return [file for file in visible(folder, ".sens") if _is_sens(file)]


def _read_export(path: Path) -> Scan:
    """Read the frames that were exported from the .sens file."""
    if not folders.matches(path):
        raise GeosetError(
            f"{path}: has a mesh of ScanNet, but no frames; expected one .sens file, or color/, "
            "depth/, pose/ and intrinsic/ as ScanNet's SensReader writes them"
        )
    return replace(folders.read(path), layout=LAYOUT)


def _read_video(path: Path, video: Path, mask_folder: Path, alone: bool) -> Scan:
    """Read the frames of a .sens file."""
    frames, rejected = read_sens(video)
    notes = []
    masks = files_by_stem(mask_folder, *IMAGE_SUFFIXES)
    if masks and not alone:
        notes.append(
            f"{mask_folder} is not used, for it could be of any of the .sens files beside it; give "
            "each a folder of its own"
        )
    elif masks:
        numbered = {int(stem): file for stem, file in masks.items() if stem.isdecimal()}
        frames = [_masked(frame, numbered.get(int(frame.name))) for frame in frames]
    if folders.matches(path):
        notes.append(f"frames are those of {video.name}; color/, depth/ and pose/ are not read")
    return Scan(path, LAYOUT, frames, rejected, full_rate=True, notes=notes)


def _masked(frame: Frame, mask: Path | None) -> Frame:
    return replace(frame, read_mask=partial(read_mask, mask)) if mask else frame
