"""`Scan` and `Frame`: what every reader produces, in canonical units and axes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh


class FrameError(GeosetError):
    """One frame cannot be used; `reason` is what rejections are counted by."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Frame:
    """One posed RGB-D image. Pixels are read when asked for.

    name: unique within the scan
    camera, depth_camera: intrinsics of the colour and of the depth image
    world_from_camera: (4,4) float64, pose of the colour camera
    depth_camera_from_camera: (4,4) float64, identity unless the format says otherwise
    read_image: returns (H,W,3) uint8; read_depth: returns (h,w) float32 metres, or None
    read_labels: by layer name ("semantic", "instance"), each returns (H,W) integers
    read_mask: returns (H,W), nonzero = do not use (people, screens, what is private), of any size;
        or None
    """

    name: str
    camera: Camera
    world_from_camera: np.ndarray
    read_image: Callable[[], np.ndarray]
    read_depth: Callable[[], np.ndarray] | None
    depth_camera: Camera
    depth_camera_from_camera: np.ndarray = field(default_factory=lambda: np.eye(4))
    read_labels: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    read_mask: Callable[[], np.ndarray] | None = None

    def image(self) -> np.ndarray:
        """Return the colour image, (H,W,3) uint8.

        Raises:
            GeosetError: the file is missing, unreadable, or not of the camera's size.
        """
        return self._read("colour", self.read_image, self.camera)

    def depth(self) -> np.ndarray:
        """Return depth along z, (h,w) float32 metres, 0 = none; there is none under the mask.

        Raises:
            GeosetError: there is no depth, or its file is missing, unreadable or of another size.
        """
        if self.read_depth is None:
            raise GeosetError(f"{self.name}: the scan has no depth images")
        depth = self._read("depth", self.read_depth, self.depth_camera)
        if self.read_mask is not None:
            depth = np.where(self.masked(*depth.shape), np.float32(0), depth)
        return depth

    def masked(self, height: int, width: int) -> np.ndarray:
        """Return which pixels must not be used, (height,width) bool, of an image of that size.

        A pixel is masked if any part of it is. Colour and depth are taken to see the same.

        Raises:
            GeosetError: the mask's file is missing or unreadable.
        """
        if self.read_mask is None:
            return np.zeros((height, width), dtype=bool)
        try:
            mask = self.read_mask() != 0
        except GeosetError as error:
            raise FrameError(f"{self.name}: {error}", "unreadable mask file") from error
        if mask.shape == (height, width):
            return mask
        covered = Image.fromarray(mask.astype(np.uint8) * 255)
        return np.asarray(covered.resize((width, height), Image.Resampling.BOX)) > 0

    def label(self, layer: str) -> np.ndarray:
        """Return the (H,W) label image of a layer.

        Raises:
            GeosetError: the scan has no such layer; the text lists those it has.
        """
        if layer not in self.read_labels:
            have = ", ".join(sorted(self.read_labels)) or "none"
            raise GeosetError(f"{self.name}: no label images '{layer}'; available: {have}")
        return self.read_labels[layer]()

    def _read(self, kind: str, read: Callable[[], np.ndarray], camera: Camera) -> np.ndarray:
        try:
            pixels = read()
        except GeosetError as error:
            raise FrameError(f"{self.name}: {error}", f"unreadable {kind} file") from error
        if pixels.shape[:2] != (camera.height, camera.width):
            raise FrameError(
                f"{self.name}: {kind} image is {pixels.shape[1]}x{pixels.shape[0]}, "
                f"expected {camera.width}x{camera.height}",
                f"{kind} image of another size than its camera",
            )
        return pixels


class SurfaceLabels(NamedTuple):
    """A labelling of the mesh that came with a scan.

    read: returns (V,) integers for the vertices of the mesh, -1 = none
    scope: "scene" (ids mean nothing elsewhere) or "global" (the same id is the same everywhere)
    source: name of the file it is from
    """

    read: Callable[[], np.ndarray]
    scope: str
    source: str


@dataclass
class Scan:
    """A place, seen in frames.

    layout: name of the detected format
    rejected: (frame name, reason) of each frame that cannot be used
    read_mesh: returns the surface that came with the scan; or None
    surface_labels: labellings of that surface, by the name of the layer they become
    full_rate: the frames are those of a video without gaps, so that neighbours hardly differ
    notes: what a user should know of how the scan was read, a sentence each
    """

    path: Path
    layout: str
    frames: list[Frame]
    rejected: list[tuple[str, str]] = field(default_factory=list)
    read_mesh: Callable[[], TriangleMesh] | None = None
    surface_labels: Mapping[str, SurfaceLabels] = field(default_factory=dict)
    full_rate: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The scan's name: that of its folder, or of its file without the ending."""
        return scan_name(self.path)

    @cached_property
    def mesh(self) -> TriangleMesh | None:
        """The surface that came with the scan, or None; it is read when first asked for.

        Raises:
            GeosetError: its file cannot be read.
        """
        return self.read_mesh() if self.read_mesh else None


def scan_name(path: Path) -> str:
    """Return the name of the scan at `path`: of its folder, or of its file without the ending."""
    path = path.resolve()
    return path.stem if path.is_file() else path.name


def count_reasons(rejected: list[tuple[str, str]]) -> dict[str, int]:
    """Count rejected frames by reason, most frequent first."""
    return dict(Counter(reason for _, reason in rejected).most_common())
