"""A slow ray caster for rooms: every ray against every part, in plain numpy."""

import numpy as np


def nearest_hits(room, origin, rays):
    """Return t (R,) and piece (R,) of the nearest surface along each of `rays` (R,3)."""
    best, pieces = np.full(len(rays), np.inf), np.full(len(rays), -1)
    for n, placed in enumerate(room.placed):
        local = placed.to_world(np.eye(3)) - placed.position  # rows: the piece's axes, in the world
        for part in placed.piece.parts:
            o = local @ (origin - placed.position) - part.centre
            crossings = _cylinder if part.round else _box
            t = crossings(o, rays @ local.T, np.array(part.half))
            closer = t < best
            best[closer], pieces[closer] = t[closer], n
    return best, pieces


def _box(o, d, half):
    """Nearest crossing of any of the six face planes that lies on the face."""
    best = np.full(len(d), np.inf)
    for axis in range(3):
        for side in (-1, 1):
            t = (side * half[axis] - o[axis]) / d[:, axis]
            points = np.abs(o + t[:, None] * d)
            others = [a for a in range(3) if a != axis]
            on_face = (points[:, others] <= half[others]).all(axis=1) & (t > 0)
            best = np.where(on_face & (t < best), t, best)
    return best


def _cylinder(o, d, half):
    """Nearest crossing of the caps' planes inside the radius, or of the side between the caps."""
    best = np.full(len(d), np.inf)
    for side in (-1, 1):
        t = (side * half[2] - o[2]) / d[:, 2]
        inside = np.hypot(*(o[:2] + t[:, None] * d[:, :2]).T) <= half[0]
        best = np.where(inside & (t > 0) & (t < best), t, best)
    for i, (dx, dy, dz) in enumerate(d):
        roots = np.roots(
            [dx**2 + dy**2, 2 * (o[0] * dx + o[1] * dy), o[0] ** 2 + o[1] ** 2 - half[0] ** 2]
        )
        for t in roots[np.isreal(roots)].real:
            if 0 < t < best[i] and abs(o[2] + t * dz) <= half[2]:
                best[i] = t
    return best
