"""Polycam's raw export: `keyframes/`, one folder a kind, files named by their time.

The images and cameras that Polycam has optimised (`corrected_*`) are read where they exist. Poses
are world_from_camera in OpenGL axes; depth and its confidence are of lower resolution. A `mesh.ply`
beside `keyframes/` is the surface; without it depth is fused.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from geoset.errors import GeosetError
from geoset.scans.assemble import FrameFiles, assemble_frames, own_cameras
from geoset.scans.decode import (
    files_by_stem,
    mesh_reader,
    natural_key,
    read_depth,
    read_integers,
    read_json,
)
from geoset.scans.distortion import make_lens
from geoset.scans.nerfstudio import opencv_from_opengl
from geoset.scans.scan import Frame, FrameError, Scan

LAYOUT = "Polycam raw"
LOOKS_FOR = "keyframes/ with [corrected_]images/, [corrected_]cameras/, depth/"

INTRINSICS = ("fx", "fy", "cx", "cy", "width", "height")
POSE = [[f"t_{row}{column}" for column in range(4)] for row in range(3)]
LOW_CONFIDENCE = 0  # 127 is medium, 255 high
UNCORRECTED = (
    "Polycam has not optimised these poses (corrected_cameras/ is missing): those that the phone "
    "tracked are used, which may drift, and images with their lens distortion"
)
CONFIDENT = "depth of low confidence is left out"


def matches(path: Path) -> bool:
    """Tell whether `path` holds keyframes with cameras."""
    return any((path / "keyframes" / f"{kind}cameras").is_dir() for kind in ("corrected_", ""))


def read(path: Path) -> Scan:
    """Read a scan of this layout."""
    keyframes = path / "keyframes"
    corrected = all((keyframes / f"corrected_{kind}").is_dir() for kind in ("images", "cameras"))
    prefix = "corrected_" if corrected else ""
    images = files_by_stem(keyframes / f"{prefix}images", ".jpg")
    cameras = files_by_stem(keyframes / f"{prefix}cameras", ".json")
    has_depth = (keyframes / "depth").is_dir()
    files, rejected = [], []
    for name in sorted({*images, *cameras}, key=natural_key):
        if name not in cameras:
            rejected.append((name, "no camera file"))
            continue
        color = images.get(name, keyframes / f"{prefix}images/{name}.jpg")
        depth = keyframes / f"depth/{name}.png" if has_depth else None
        try:
            files.append(_frame_files(color, depth, cameras[name]))
        except FrameError as error:
            rejected.append((name, error.reason))
    frames, unusable = assemble_frames(files)
    notes = [] if corrected else [UNCORRECTED]
    if has_depth and (keyframes / "confidence").is_dir():
        frames = [_confident(frame, keyframes) for frame in frames]
        notes.append(CONFIDENT)
    return Scan(
        path, LAYOUT, frames, rejected + unusable, mesh_reader(path / "mesh.ply"), notes=notes
    )


def _frame_files(color: Path, depth: Path | None, camera: Path) -> FrameFiles:
    try:
        found = read_json(camera)
        lens = make_lens(str(camera), [found[key] for key in INTRINSICS])
        pose = opencv_from_opengl([[found[key] for key in row] for row in POSE])
    except (GeosetError, KeyError, TypeError) as error:
        raise FrameError(f"{camera}: {error}", "unusable camera file") from error
    return FrameFiles(camera.stem, color, depth, pose, cameras=own_cameras(lens.camera))


def _confident(frame: Frame, keyframes: Path) -> Frame:
    """Return the frame without depth of low confidence, if the confidence of its depth is known."""
    depth, confidence = (keyframes / kind / f"{frame.name}.png" for kind in ("depth", "confidence"))
    if not confidence.is_file():
        return frame
    return replace(frame, read_depth=partial(read_confident_depth, depth, confidence))


def read_confident_depth(depth_file: Path, confidence_file: Path) -> np.ndarray:
    """Read depth (h,w) float32 in metres, 0 where the confidence image, of any size, is low."""
    depth = read_depth(depth_file)
    low = Image.fromarray(read_integers(confidence_file) == LOW_CONFIDENCE)
    return np.where(low.resize(depth.shape[::-1], Image.Resampling.NEAREST), np.float32(0), depth)
