"""Ray casting of a `Scene`: colour with diffuse light and hard shadows, depth and labels."""

from dataclasses import dataclass

import numba
import numpy as np

from geoset.geometry.camera import Camera
from geoset.scans.rooms.layout import SHELL
from geoset.scans.rooms.scene import Scene
from geoset.scans.rooms.textures import reflectance

SAMPLES = 2  # colour samples a pixel, along each axis
OFF_SURFACE = 1e-4  # metres; where shadow rays start
FAR = 1e9


@dataclass(frozen=True)
class View:
    """What an ideal camera sees.

    color: (H,W,3) float64 linear light
    depth: (H,W) float64 z in metres, at pixel centres like all below
    label, instance: (H,W) uint16
    incidence: (H,W) float64 cosine between ray and surface normal
    """

    color: np.ndarray
    depth: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    incidence: np.ndarray


def render(scene: Scene, camera: Camera, world_from_camera: np.ndarray) -> View:
    """Render `scene`; `world_from_camera` is (4,4), the camera inside the room."""
    shape = camera.height, camera.width
    rays = camera.rays() @ world_from_camera[:3, :3].T
    depth, piece, incidence = _surfaces(scene, world_from_camera[:3, 3], rays.reshape(-1, 3))
    fine = camera.resized(SAMPLES * camera.height, SAMPLES * camera.width)
    rays = fine.rays() @ world_from_camera[:3, :3].T
    rays = rays.reshape(camera.height, SAMPLES, camera.width, SAMPLES, 3).swapaxes(1, 2)
    color = _colors(scene, world_from_camera[:3, 3], rays.reshape(-1, SAMPLES**2, 3))
    return View(
        color.reshape(*shape, 3),
        depth.reshape(shape),
        scene.label[piece].astype(np.uint16).reshape(shape),
        scene.instance[piece].astype(np.uint16).reshape(shape),
        incidence.reshape(shape),
    )


def look(
    scene: Scene, camera: Camera, world_from_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and piece (position in the scene) at pixel centres, each (H,W)."""
    rays = camera.rays() @ world_from_camera[:3, :3].T
    depth, piece, _ = _surfaces(scene, world_from_camera[:3, 3], rays.reshape(-1, 3))
    return depth.reshape(rays.shape[:2]), piece.reshape(rays.shape[:2])


@numba.njit(cache=True)
def _enter_box(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    """Return (t, face) where a ray enters a box about the origin; face = axis it is normal to."""
    near, far, face = -FAR, FAR, 0
    for axis, o, d, h in ((0, ox, dx, hx), (1, oy, dy, hy), (2, oz, dz, hz)):
        if abs(d) < 1e-12:
            if abs(o) > h:
                return FAR, 0
            continue
        middle, reach = -o / d, h / abs(d)
        if middle - reach > near:
            near, face = middle - reach, axis
        far = min(far, middle + reach)
    if near > far or near <= 0:
        return FAR, 0
    return near, face


@numba.njit(cache=True)
def _enter_cylinder(ox, oy, oz, dx, dy, dz, radius, half):
    """Return (t, face) where a ray enters an upright cylinder about the origin; face 3 = side."""
    a, b, c = dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - radius * radius
    near, far, face = -FAR, FAR, 3
    if a < 1e-12:
        if c > 0:
            return FAR, 3
    else:
        root = b * b - a * c
        if root <= 0:
            return FAR, 3
        root = np.sqrt(root)
        near, far = (-b - root) / a, (-b + root) / a
    if abs(dz) < 1e-12:
        if abs(oz) > half:
            return FAR, 3
    else:
        middle, reach = -oz / dz, half / abs(dz)
        if middle - reach > near:
            near, face = middle - reach, 2
        far = min(far, middle + reach)
    if near > far or near <= 0:
        return FAR, 3
    return near, face


@numba.njit(cache=True)
def _cast(scene, origin, ray, limit, start, any_hit):
    """Return (t, piece, part, face) of the nearest surface before `limit`, or of any.

    Piece -1 means none; pieces before `start` are left out; t counts lengths of `ray`.
    """
    ox, oy, oz = origin
    dx, dy, dz = ray
    length = dx * dx + dy * dy + dz * dz
    best, best_piece, best_part, best_face = limit, -1, -1, 0
    for n in range(start, len(scene.radius)):
        mx, my, mz = scene.middle[n, 0] - ox, scene.middle[n, 1] - oy, scene.middle[n, 2] - oz
        along = mx * dx + my * dy + mz * dz
        square = scene.radius[n] * scene.radius[n]
        beside = (mx * mx + my * my + mz * mz - square) * length
        if beside > 0 and (along < 0 or along * along < beside):
            continue
        c, s = scene.turn[n, 0], scene.turn[n, 1]
        px, py = ox - scene.position[n, 0], oy - scene.position[n, 1]
        qx, qy, qz = c * px + s * py, c * py - s * px, oz - scene.position[n, 2]
        ex, ey = c * dx + s * dy, c * dy - s * dx
        for p in range(scene.first_part[n], scene.first_part[n + 1]):
            x, y, z = qx - scene.centre[p, 0], qy - scene.centre[p, 1], qz - scene.centre[p, 2]
            hx, hy, hz = scene.half[p, 0], scene.half[p, 1], scene.half[p, 2]
            if scene.round[p]:
                t, face = _enter_cylinder(x, y, z, ex, ey, dz, hx, hz)
            else:
                t, face = _enter_box(x, y, z, ex, ey, dz, hx, hy, hz)
            if t < best:
                best, best_piece, best_part, best_face = t, n, p, face
                if any_hit:
                    return best, best_piece, best_part, best_face
    return best, best_piece, best_part, best_face


@numba.njit(cache=True)
def _locate(scene, origin, ray, t, piece, part, face):
    """Return world point, world normal and place (x, y, half x, half y) on its face of a hit."""
    c, s = scene.turn[piece, 0], scene.turn[piece, 1]
    wx, wy, wz = origin[0] + t * ray[0], origin[1] + t * ray[1], origin[2] + t * ray[2]
    px, py = wx - scene.position[piece, 0], wy - scene.position[piece, 1]
    x = c * px + s * py - scene.centre[part, 0]
    y = c * py - s * px - scene.centre[part, 1]
    z = wz - scene.position[piece, 2] - scene.centre[part, 2]
    hx, hy, hz = scene.half[part, 0], scene.half[part, 1], scene.half[part, 2]
    if face == 0:
        normal, place = (np.sign(x), 0.0, 0.0), (y, z, hy, hz)
    elif face == 1:
        normal, place = (0.0, np.sign(y), 0.0), (x, z, hx, hz)
    elif face == 2:
        normal, place = (0.0, 0.0, np.sign(z)), (x, y, hx, hy)
    else:
        normal, place = (x / hx, y / hx, 0.0), (np.arctan2(y, x) * hx, z, np.pi * hx, hz)
    normal = (c * normal[0] - s * normal[1], s * normal[0] + c * normal[1], normal[2])
    return (wx, wy, wz), normal, place


@numba.njit(cache=True)
def _light(scene, point, normal):
    """Return the light (3 numbers) on a point, from lamps that see it and from all around."""
    x = point[0] + OFF_SURFACE * normal[0]
    y = point[1] + OFF_SURFACE * normal[1]
    z = point[2] + OFF_SURFACE * normal[2]
    fill = 0.8 + 0.2 * normal[2] * normal[2]  # floor and ceiling throw back most light
    r, g, b = fill * scene.ambient[0], fill * scene.ambient[1], fill * scene.ambient[2]
    for k in range(len(scene.light)):
        dx, dy, dz = scene.light[k, 0] - x, scene.light[k, 1] - y, scene.light[k, 2] - z
        facing = dx * normal[0] + dy * normal[1] + dz * normal[2]
        if facing <= 0:
            continue
        if _cast(scene, (x, y, z), (dx, dy, dz), 1.0, SHELL, True)[1] >= 0:
            continue
        square = dx * dx + dy * dy + dz * dz
        # 0.3 m^2 is the size of the lamp: light does not grow without bound beside it.
        falling = facing / np.sqrt(square) / (square + 0.3)
        r += falling * scene.light_color[k, 0]
        g += falling * scene.light_color[k, 1]
        b += falling * scene.light_color[k, 2]
    return r, g, b


@numba.njit(cache=True)
def _surfaces(scene, position, rays):
    """Return depth (R,), piece (R,) and cosine of incidence (R,) along rays (R,3) with z = 1."""
    depth, incidence = np.zeros(len(rays)), np.zeros(len(rays))
    pieces = np.zeros(len(rays), np.int64)
    origin = (position[0], position[1], position[2])
    for i in range(len(rays)):
        ray = (rays[i, 0], rays[i, 1], rays[i, 2])
        t, piece, part, face = _cast(scene, origin, ray, FAR, 0, False)
        _, normal, _ = _locate(scene, origin, ray, t, piece, part, face)
        along = ray[0] * normal[0] + ray[1] * normal[1] + ray[2] * normal[2]
        length = np.sqrt(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2])
        depth[i], pieces[i], incidence[i] = t, piece, abs(along) / length
    return depth, pieces, incidence


@numba.njit(cache=True)
def _colors(scene, position, rays):
    """Return (M,3) linear light of M pixels from rays (M,S,3), the mean over their samples.

    Samples of one face share the light of the first: a shadow's edge is as sharp as a pixel.
    """
    colors = np.zeros((len(rays), 3))
    origin = (position[0], position[1], position[2])
    samples = rays.shape[1]
    for i in range(len(rays)):
        lit_part, lit_face, light = -1, -1, (0.0, 0.0, 0.0)
        for k in range(samples):
            ray = (rays[i, k, 0], rays[i, k, 1], rays[i, k, 2])
            t, piece, part, face = _cast(scene, origin, ray, FAR, 0, False)
            point, normal, place = _locate(scene, origin, ray, t, piece, part, face)
            texture = scene.textures[scene.texture[part]]
            if part != lit_part or face != lit_face:
                lit_part, lit_face, light = part, face, _light(scene, point, normal)
            color = reflectance(texture, place[0], place[1], place[2], place[3])
            for channel in range(3):
                received = light[channel] + texture.glow
                colors[i, channel] += color[channel] * received / samples
    return colors
