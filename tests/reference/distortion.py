"""Lens distortion, pixel by pixel, and its inverse."""

import numpy as np


def distort(x, y, radial, tangential):
    """Where a lens puts the ray (x, y, 1): OpenCV's formula as its manual prints it."""
    p1, p2 = tangential
    r2 = x**2 + y**2
    factor = 1 + sum(k * r2 ** (n + 1) for n, k in enumerate(radial))
    return (
        x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x**2),
        y * factor + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y,
    )


def undistort(u, v, radial, tangential, steps=50):
    """The ray (x, y, 1) that a lens puts at (u, v), by fixed-point iteration; arrays too."""
    x, y = u, v
    for _ in range(steps):
        du, dv = distort(x, y, radial, tangential)
        x, y = x + (u - du), y + (v - dv)
    return x, y


def source_pixels(camera, radial, tangential):
    """Return (H,W,2): where in the lens's image each pixel of the pinhole `camera` is."""
    K = camera.K
    source = np.empty((camera.height, camera.width, 2))
    for i in range(camera.height):
        for j in range(camera.width):
            x, y = (j + 0.5 - K[0, 2]) / K[0, 0], (i + 0.5 - K[1, 2]) / K[1, 1]
            u, v = distort(x, y, radial, tangential)
            source[i, j] = u * K[0, 0] + K[0, 2], v * K[1, 1] + K[1, 2]
    return source


def rays_of_lens(camera, radial, tangential):
    """Return (H,W,3): the rays through the pixels of the lens's image."""
    rays = camera.rays()
    x, y = undistort(rays[..., 0], rays[..., 1], radial, tangential)
    return np.stack([x, y, np.ones_like(x)], axis=-1)
