"""What a real camera and depth sensor make of an ideal view."""

import numpy as np
from scipy import ndimage

from geoset.scans.rooms.render import View
from geoset.scans.rooms.settings import ROOM_CLASSES, RoomSettings

GAIN = 0.74  # exposure that shows a view of ordinary brightness well
ORDINARY = 0.35  # brightness of a lit room, linear
GRAZING = 0.15  # cosine of incidence below which depth begins to fail
EDGE = 0.05  # relative jump of depth between neighbouring pixels
BLOB = 0.03  # size of holes, as a part of the image's width
GLASS = ROOM_CLASSES.index("window") + 1


def develop(
    view: View, white_balance: np.ndarray, exposure: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (H,W,3) uint8 sRGB-like colour: exposed for the view, balanced, noisy."""
    brightness = np.exp(np.log(view.color.mean(axis=2) + 1e-3).mean())
    # Cameras even out most of what differs in brightness, not all.
    gain = exposure * GAIN * (ORDINARY / brightness) ** 0.8
    display = (1 - np.exp(-gain * white_balance * view.color)) ** (1 / 2.2)
    display = display + rng.normal(0, noise, display.shape)
    return np.clip(np.rint(255 * display), 0, 255).astype(np.uint8)


def sense(view: View, settings: RoomSettings, rng: np.random.Generator) -> np.ndarray:
    """Return (H,W) uint16 depth in millimetres, 0 where the sensor reports none."""
    depth = view.depth + rng.normal(0, 1, view.depth.shape) * settings.depth_noise * view.depth**2
    near, far = settings.depth_range
    none = (depth < near) | (depth > far)
    if settings.holes:
        none |= _holes(view, rng)
    return np.where(none, 0, np.rint(1000 * depth)).astype(np.uint16)


def _holes(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return (H,W) bool: grazing surfaces, edges of depth, glass, and blobs anywhere."""
    shape = view.depth.shape
    holes = rng.random(shape) * GRAZING > view.incidence
    # On a plane 1 / depth is affine in the image: second differences see edges and nothing else.
    bend = [np.abs(ndimage.correlate1d(1 / view.depth, [1, -2, 1], axis)) for axis in (0, 1)]
    holes |= (np.maximum(*bend) * view.depth > EDGE) & (rng.random(shape) < 0.5)
    clouds = ndimage.gaussian_filter(rng.normal(0, 1, shape), BLOB * shape[1], mode="wrap")
    clouds /= clouds.std() + 1e-9
    holes |= (view.label == GLASS) & (clouds > -0.3)
    return holes | (clouds < rng.uniform(-3.5, -2.2))
