"""Ray casting triangle by triangle: solve `wa a + wb b + wc c = ray` for every pixel."""

import numpy as np


def cast(mesh, camera, world_from_camera, near=1e-3):
    """Return vertex_map (H,W), depth (H,W) and the lead (H,W) of the largest weight."""
    camera_from_world = np.linalg.inv(world_from_camera)
    points = mesh.vertices @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    rays = camera.rays()
    vertex_map = np.full(rays.shape[:2], -1)
    depth = np.full(rays.shape[:2], np.inf)
    lead = np.full(rays.shape[:2], np.inf)
    for face in mesh.faces:
        corners = points[face].T  # one a column
        if abs(np.linalg.det(corners)) < 1e-12:
            continue  # without area, or seen edge-on
        weights = rays @ np.linalg.inv(corners).T
        with np.errstate(all="ignore"):
            z = 1 / weights.sum(axis=-1)
            weights = weights * z[..., None]
        nearer = (weights >= 0).all(axis=-1) & (z >= near) & (z < depth)
        depth[nearer] = z[nearer]
        ranked = np.sort(weights[nearer], axis=-1)
        lead[nearer] = ranked[:, 2] - ranked[:, 1]
        vertex_map[nearer] = face[weights[nearer].argmax(axis=-1)]
    return vertex_map, np.where(vertex_map < 0, 0, depth), lead
