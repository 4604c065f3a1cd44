"""A z-buffer rasteriser: what each pixel of a camera sees of a mesh, without a ray tracing library.

Coordinates are sheared so that the pixel's ray becomes the z axis; the areas that the origin spans
with the edges of the flattened triangle are its barycentric weights, perspective included (Woop,
Benthin and Wald, Watertight Ray/Triangle Intersection, JCGT 2013). Neighbours see their shared
vertices at the same place, and rounding never turns the sign of an area, though it may make it 0:
no ray slips through between them.
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
    with np.errstate(invalid="ignore"):  # of vertices without faces, which may be infinite
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
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                right_slope, down_slope = rays[y, x, 0], rays[y, x, 1]
                ax, ay = a[0] - right_slope * a[2], a[1] - down_slope * a[2]
                bx, by = b[0] - right_slope * b[2], b[1] - down_slope * b[2]
                cx, cy = c[0] - right_slope * c[2], c[1] - down_slope * c[2]
                wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
                total = wa + wb + wc
                if total == 0 or min(wa, wb, wc) < 0 < max(wa, wb, wc):
                    continue
                z = (wa * a[2] + wb * b[2] + wc * c[2]) / total
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
