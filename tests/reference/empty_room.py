"""An empty room seen from inside, in closed form: walls at 0 and `size` along x, y and z."""

import numpy as np


def look_at(eye, target):
    """Return world_from_camera (4,4) of a level camera at `eye`; world z is up."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose


def walk_around(size, count, radius=0.3):
    """Return `count` poses on a small circle in the middle that look outwards, all around."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        outwards = np.array([np.cos(angle), np.sin(angle), -0.25 * np.sin(3 * angle)])
        eye = np.array([size[0] / 2, size[1] / 2, 0.55 * size[2]]) + radius * outwards
        poses.append(look_at(eye, eye + outwards))
    return poses


def see(camera, world_from_camera, size):
    """Return depth (H,W) in metres and wall (H,W): 2 * axis, plus one for the far wall."""
    rays = camera.rays() @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]
    ahead = np.where(rays > 0, size - eye, -eye)
    reach = np.divide(ahead, rays, out=np.full(rays.shape, np.inf), where=rays != 0)
    axis = reach.argmin(axis=-1)
    far = np.take_along_axis(rays, axis[..., None], axis=-1)[..., 0] > 0
    return reach.min(axis=-1), 2 * axis + far


def distance_to_walls(points, size):
    """Return how far `points` (..., 3) are from the nearest wall plane."""
    return np.minimum(np.abs(points), np.abs(points - size)).min(axis=-1)
