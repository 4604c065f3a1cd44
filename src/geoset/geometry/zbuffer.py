"""A z-buffer rasteriser: what each pixel of a camera sees of a mesh, without a ray tracing library.

A pixel's ray d meets the triangle (a, b, c) when d.(b x c), d.(c x a) and d.(a x b) have one sign;
divided by their sum they are the perspective-correct barycentric weights, and a.(b x c) divided by
it is the depth (homogeneous rasterisation, Olano and Greer 1997). Two triangles compute exactly
opposite values along a shared edge, so no ray slips through.
"""

import numpy as np
from numba import njit

from geoset.geometry.camera import Camera, invert, transform
from geoset.geometry.mesh import TriangleMesh

NEAR = 1e-3  # metres; what is nearer to the camera is not seen
BOX_MARGIN = 1e-3  # pixels, far above the rounding of a projected corner


def rasterize(
    mesh: TriangleMesh, camera: Camera, world_from_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `Raycaster.cast` does; of faces at one depth the first in the mesh wins."""
    vertices = transform(invert(world_from_camera), mesh.vertices.astype(np.float64))
    vertex_map = np.full((camera.height, camera.width), -1, dtype=np.int32)
    depth = np.full((camera.height, camera.width), np.inf)
    draw_faces(vertices, mesh.faces, camera.rays(), camera.K, vertex_map, depth)
    return vertex_map, np.where(vertex_map < 0, 0, depth).astype(np.float32)


@njit(cache=True, nogil=True)
def draw_faces(vertices, faces, rays, K, vertex_map, depth):
    """Draw the camera-frame mesh into `vertex_map` (H,W) and `depth` (H,W), keeping the nearest."""
    for f in range(len(faces)):
        corners = (vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]])
        left, right, top, bottom = pixel_box(corners, K, depth.shape)
        if left > right or top > bottom:
            continue
        a, b, c = corners
        bc, ca, ab = cross(b, c), cross(c, a), cross(a, b)
        volume = dot(a, bc)
        z_min, z_max = min(a[2], b[2], c[2]), max(a[2], b[2], c[2])
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                ray = rays[y, x]
                wa, wb, wc = dot(ray, bc), dot(ray, ca), dot(ray, ab)
                total = wa + wb + wc
                if total == 0 or min(wa, wb, wc) < 0 < max(wa, wb, wc):
                    continue
                # the clip only matters where the triangle is seen edge-on and rounding rules
                z = min(max(volume / total, z_min), z_max)
                if NEAR <= z < depth[y, x]:
                    depth[y, x] = z
                    wa, wb, wc = abs(wa), abs(wb), abs(wc)
                    corner = 0 if wa >= wb and wa >= wc else (1 if wb >= wc else 2)
                    vertex_map[y, x] = faces[f, corner]


@njit(cache=True, nogil=True)
def pixel_box(corners, K, shape):
    """Return the (left, right, top, bottom) pixels whose centres a triangle can cover.

    Only the part beyond the near plane counts: its corners are those of the triangle beyond it and
    the points where an edge crosses it. No such part gives left > right.
    """
    x_min, x_max, y_min, y_max = np.inf, -np.inf, np.inf, -np.inf
    for k in range(3):
        p, q = corners[k], corners[(k + 1) % 3]
        if (p[2] < NEAR) != (q[2] < NEAR):
            s = (NEAR - p[2]) / (q[2] - p[2])
            px, py, pz = p[0] + s * (q[0] - p[0]), p[1] + s * (q[1] - p[1]), NEAR
            x, y = (K[0, 0] * px + K[0, 1] * py) / pz + K[0, 2], K[1, 1] * py / pz + K[1, 2]
            x_min, x_max, y_min, y_max = min(x_min, x), max(x_max, x), min(y_min, y), max(y_max, y)
        if p[2] >= NEAR:
            x, y = (
                (K[0, 0] * p[0] + K[0, 1] * p[1]) / p[2] + K[0, 2],
                K[1, 1] * p[1] / p[2] + K[1, 2],
            )
            x_min, x_max, y_min, y_max = min(x_min, x), max(x_max, x), min(y_min, y), max(y_max, y)
    height, width = shape
    # compared as floats first: points close to the near plane lie beyond any integer
    left = np.ceil(max(x_min - 0.5 - BOX_MARGIN, 0.0))
    right = np.floor(min(x_max - 0.5 + BOX_MARGIN, width - 1.0))
    top = np.ceil(max(y_min - 0.5 - BOX_MARGIN, 0.0))
    bottom = np.floor(min(y_max - 0.5 + BOX_MARGIN, height - 1.0))
    if left > right or top > bottom:
        return 0, -1, 0, -1
    return int(left), int(right), int(top), int(bottom)


@njit(cache=True, nogil=True, inline="always")
def cross(p, q):
    """Return p x q as three numbers."""
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


@njit(cache=True, nogil=True, inline="always")
def dot(p, q):
    """Return p.q."""
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
