"""One frame against the surface: which vertex each of its pixels sees."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from geoset.geometry.camera import Camera, invert, transform
from geoset.geometry.flying_pixels import drop_flying_pixels
from geoset.geometry.raycast import Raycaster
from geoset.geometry.resize import resize_image
from geoset.scans.scan import Frame

ABSOLUTE_TOLERANCE = 0.05  # metres; and
RELATIVE_TOLERANCE = 0.02  # of depth: whichever is larger may lie between sensor and surface


@dataclass(frozen=True)
class View:
    """A frame as it is stored.

    image: (H,W,3) uint8; depth: (H,W) float32 metres, 0 = none, or None without depth images
    vertex_map: (H,W) int32, -1 = none
    world_from_camera: (4,4), in the working surface's coordinates
    residual: metres, median of |sensor - surface| before any pixel is left out, NaN if unknown
    """

    image: np.ndarray
    depth: np.ndarray | None
    vertex_map: np.ndarray
    camera: Camera
    world_from_camera: np.ndarray
    residual: float


def make_view(
    frame: Frame,
    raycaster: Raycaster,
    offset: np.ndarray,
    image_size: tuple[int, int],
    fill_holes: bool = False,
    depth_edges: bool = False,
) -> View:
    """Resize a frame to `image_size` (H,W) and cast its pixels at the surface.

    Pixels whose sensor depth disagrees with the surface by more than max(5 cm, 2 %) see nothing;
    neither do those without depth, unless `fill_holes`. Without depth images the rays decide.
    Masked pixels see nothing and have no depth. Flying pixels count as holes, unless `depth_edges`.
    """
    camera, box = cover(frame.camera, image_size)
    image = resize_image(frame.image(), (camera.height, camera.width), box)
    world_from_camera = frame.world_from_camera.copy()
    world_from_camera[:3, 3] -= offset
    vertex_map, surface_depth = raycaster.cast(camera, world_from_camera)
    masked = _masked(frame, camera, box)
    depth, residual = None, float("nan")
    if frame.read_depth is not None:
        depth = resample_depth(trusted_depth(frame, depth_edges), frame, camera)
        depth[masked] = 0
        gap = np.abs(depth - surface_depth)
        both = (depth > 0) & (surface_depth > 0)
        if both.any():
            residual = float(np.median(gap[both]))
        keep = both & (gap <= np.maximum(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * depth))
        if fill_holes:
            keep |= depth == 0
        vertex_map = np.where(keep, vertex_map, np.int32(-1))
    vertex_map = np.where(masked, np.int32(-1), vertex_map)
    return View(image, depth, vertex_map, camera, world_from_camera, residual)


def cover(
    camera: Camera, image_size: tuple[int, int]
) -> tuple[Camera, tuple[float, float, float, float]]:
    """Scale an image until it covers `image_size` (H,W), and crop the middle.

    Portrait images become W x H. Returns the new camera and the window of the old image,
    (left, top, right, bottom), that it sees.
    """
    height, width = sorted(image_size, reverse=camera.height > camera.width)
    scale = max(height / camera.height, width / camera.width)
    # the window never exceeds the image, not even by rounding
    seen_width = min(width / scale, camera.width)
    seen_height = min(height / scale, camera.height)
    left, top = (camera.width - seen_width) / 2, (camera.height - seen_height) / 2
    K = camera.K.copy()
    K[:2, 2] -= (left, top)
    K[:2] *= scale
    return Camera(K, width, height), (left, top, left + seen_width, top + seen_height)


def trusted_depth(frame: Frame, depth_edges: bool) -> np.ndarray:
    """Return the frame's depth (h,w) float32 metres, 0 = none.

    depth_edges: believe flying pixels too
    """
    depth = frame.depth()
    return depth if depth_edges else drop_flying_pixels(depth, frame.depth_camera)


def resample_depth(depth: np.ndarray, frame: Frame, camera: Camera) -> np.ndarray:
    """Return a frame's `depth` at the pixels of `camera`, which stands where its colour camera is.

    Nearest sample, never a mean: between a chair and the wall behind it there is nothing.
    """
    source = frame.depth_camera
    if np.array_equal(frame.depth_camera_from_camera, np.eye(4)):
        pixels, _ = source.project(camera.rays())
        j, i = np.floor(pixels).astype(np.int64).transpose(2, 0, 1)
        inside = (j >= 0) & (i >= 0) & (j < source.width) & (i < source.height)
        sampled = depth[np.where(inside, i, 0), np.where(inside, j, 0)]
        return np.where(inside, sampled, np.float32(0))
    valid = depth > 0
    points = (source.rays() * depth[..., None])[valid]
    pixels, z = camera.project(transform(invert(frame.depth_camera_from_camera), points))
    j, i = np.floor(pixels).astype(np.int64).T
    inside = (j >= 0) & (i >= 0) & (j < camera.width) & (i < camera.height) & (z > 0)
    nearest = np.full((camera.height, camera.width), np.inf, dtype=np.float32)
    np.minimum.at(nearest, (i[inside], j[inside]), z[inside].astype(np.float32))
    return np.where(np.isinf(nearest), np.float32(0), nearest)


def _masked(frame: Frame, camera: Camera, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return which pixels (H,W) of the window `box` of the frame's image must not be used."""
    mask = frame.masked(frame.camera.height, frame.camera.width)
    if not mask.any():
        return np.zeros((camera.height, camera.width), dtype=bool)
    size = (camera.width, camera.height)
    covered = Image.fromarray(mask.astype(np.float32))
    return np.asarray(covered.resize(size, Image.Resampling.BOX, box=box)) > 0
