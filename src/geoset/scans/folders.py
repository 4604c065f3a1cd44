"""One folder a kind: `color/ depth/ pose/` and intrinsics, ScanNet's exports among them.

Intrinsics are those of integer pixel centres, as ScanNet and OpenCV calibration print them.
Pixels that are not black in `mask/` (people, screens) are not used.
A `mesh.ply` (or ScanNet's `<scene>_vh_clean_2.ply`) is the surface; without it depth is fused.
"""

from functools import partial
from pathlib import Path

from geoset.errors import GeosetError
from geoset.scans.assemble import FrameFiles, assemble_frames
from geoset.scans.decode import (
    IMAGE_SUFFIXES,
    files_by_stem,
    mesh_reader,
    natural_key,
    read_intrinsics,
)
from geoset.scans.scan import Frame, Scan
from geoset.scans.trajectory import is_video

LAYOUT = "one folder a kind"
LOOKS_FOR = "color/ (or rgb/), depth/, pose/ with files of equal names, intrinsics.txt"

COLOR_FOLDERS = ("color", "rgb")
INTRINSICS = {  # first match counts
    "colour": ("intrinsics_color.txt", "intrinsic/intrinsic_color.txt", "intrinsics.txt"),
    "depth": ("intrinsics_depth.txt", "intrinsic/intrinsic_depth.txt", "intrinsics.txt"),
}
LABEL_FOLDERS = {"semantic": "label", "instance": "instance"}
MASK_FOLDER = "mask"


def matches(path: Path) -> bool:
    """Tell whether `path` holds a colour and a pose folder."""
    return _color_folder(path) is not None and (path / "pose").is_dir()


def read(path: Path) -> Scan:
    """Read a scan of this layout.

    Raises:
        GeosetError: the intrinsics are missing, no camera matrix, or one for two image sizes.
    """
    color = files_by_stem(_color_folder(path), *IMAGE_SUFFIXES)
    depth = files_by_stem(path / "depth", ".png")
    pose = files_by_stem(path / "pose", ".txt")
    labels = {layer: files_by_stem(path / name, ".png") for layer, name in LABEL_FOLDERS.items()}
    masks = files_by_stem(path / MASK_FOLDER, *IMAGE_SUFFIXES)
    has_depth = (path / "depth").is_dir()
    files = [
        FrameFiles(
            name=stem,
            color=color.get(stem, _color_folder(path) / f"{stem}.jpg"),
            depth=depth.get(stem, path / "depth" / f"{stem}.png") if has_depth else None,
            pose=pose.get(stem, path / "pose" / f"{stem}.txt"),
            labels={layer: found[stem] for layer, found in labels.items() if stem in found},
            mask=masks.get(stem),
        )
        for stem in sorted({*color, *depth, *pose}, key=natural_key)
    ]
    color_intrinsics = _intrinsics_file(path, "colour")
    depth_intrinsics = _intrinsics_file(path, "depth") if has_depth else color_intrinsics
    frames, rejected = assemble_frames(
        files,
        partial(read_intrinsics, color_intrinsics),
        partial(read_intrinsics, depth_intrinsics),
    )
    if frames and color_intrinsics == depth_intrinsics:
        _check_one_size(frames[0], color_intrinsics)
    meshes = path / "mesh.ply", path / f"{path.resolve().name}_vh_clean_2.ply"
    full_rate = is_video(frames)
    return Scan(path, LAYOUT, frames, rejected, mesh_reader(*meshes), full_rate=full_rate)


def _color_folder(path: Path) -> Path | None:
    return next((path / name for name in COLOR_FOLDERS if (path / name).is_dir()), None)


def _intrinsics_file(path: Path, kind: str) -> Path:
    for name in INTRINSICS[kind]:
        if (path / name).is_file():
            return path / name
    raise GeosetError(
        f"{path}: no {kind} intrinsics; expected one of {', '.join(INTRINSICS[kind])}, "
        "a text file with the 3x3 camera matrix, one row a line"
    )


def _check_one_size(frame: Frame, intrinsics: Path) -> None:
    """Refuse one camera matrix for colour and depth images of different sizes."""
    color, depth = frame.camera, frame.depth_camera
    if (color.width, color.height) != (depth.width, depth.height):
        raise GeosetError(
            f"{intrinsics}: stands for colour ({color.width}x{color.height}) and depth "
            f"({depth.width}x{depth.height}), expected one size; write intrinsics_color.txt and "
            "intrinsics_depth.txt, each for its own"
        )
