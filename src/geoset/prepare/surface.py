"""The working surface: the one vertex index that sets, vertex maps and pairs share."""

from dataclasses import dataclass

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh, edge_lengths, face_normals

LONGEST_EDGE = 0.04  # metres; longer edges are bisected
DENSE_EDGE = 0.01  # metres; a mesh whose median edge is shorter is clustered
CLUSTER_CELL = 0.0175  # metres
FAR = 1000.0  # metres from the origin beyond which float32 loses millimetres
MOST_VERTICES = 20_000_000


@dataclass(frozen=True)
class Surface:
    """A mesh with vertices 1 to 4 cm apart.

    vertices: (V,3) float32, world coordinates minus `offset`
    faces: (F,3) int32
    source_vertex: (V,) int32, the vertex of the original mesh whose labels each vertex takes
    offset: (3,) float64, zero unless the scan lies far from the origin
    """

    vertices: np.ndarray
    faces: np.ndarray
    source_vertex: np.ndarray
    offset: np.ndarray


def working_surface(mesh: TriangleMesh) -> Surface:
    """Bring a mesh to the spacing that over-segmentation and vertex maps are made for.

    Edges over 4 cm are bisected (original vertices keep their indices, new ones follow); a mesh
    with a median edge under 1 cm is clustered; anything between stays as it is.

    Raises:
        GeosetError: the surface is so large that bisecting it would not fit in memory, or so
            small that clustering leaves nothing of it.
    """
    used = np.zeros(len(mesh.vertices), dtype=bool)
    used[mesh.faces] = True
    centre = np.median(mesh.vertices[used].astype(np.float64), axis=0)
    offset = np.round(centre) if np.abs(centre).max() > FAR else np.zeros(3)
    vertices = (mesh.vertices - offset).astype(np.float32)
    # No face names these, wherever they lie; but rays and cells are counted from all vertices.
    vertices[~used] = centre - offset
    faces = mesh.faces.astype(np.int32)
    source = np.arange(len(vertices), dtype=np.int32)
    sample = faces[:: max(1, len(faces) // 500_000)]
    if np.median(edge_lengths(vertices, sample)) < DENSE_EDGE:
        vertices, faces, source = _cluster(vertices, faces)
    if len(faces) == 0:
        extent = np.ptp(mesh.vertices[mesh.faces].reshape(-1, 3), axis=0).max()
        raise GeosetError(
            f"the mesh is {extent:.3g} m across: at a resolution of {CLUSTER_CELL * 100:g} cm no "
            "face of it is left. Check that it is in metres"
        )
    area = 0.5 * np.linalg.norm(face_normals(vertices, faces), axis=1).sum(dtype=np.float64)
    edges = edge_lengths(vertices, faces)
    halved = edges[edges > LONGEST_EDGE].sum(dtype=np.float64) / (2 * LONGEST_EDGE)
    expected = len(vertices) + 2 * area / LONGEST_EDGE**2 + halved
    if expected > MOST_VERTICES:
        raise GeosetError(
            f"the mesh has {area:.0f} square metres of surface and edges of up to "
            f"{edges.max():.0f} m: at {LONGEST_EDGE * 100:g} cm that is about "
            f"{expected / 1e6:.0f} million vertices, more than {MOST_VERTICES / 1e6:.0f} million. "
            "Check that it is in metres, or cut it into scenes"
        )
    vertices, faces, parent = _bisect(vertices, faces)
    return Surface(vertices, faces, source[parent], offset)


def _bisect(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve long edges, the same way in both faces of each, until none is left."""
    parent = np.arange(len(vertices), dtype=np.int32)
    while True:
        long = edge_lengths(vertices, faces) > LONGEST_EDGE
        split = long.any(axis=1)
        if not split.any():
            return vertices, faces, parent
        edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
        unique, index = np.unique(
            edges[long].astype(np.int64) @ (len(vertices), 1), return_inverse=True
        )
        a, b = unique // len(vertices), unique % len(vertices)
        middle = np.full(faces.shape, -1, dtype=np.int32)
        middle[long] = len(vertices) + index
        vertices = np.concatenate([vertices, (vertices[a] + vertices[b]) / 2])
        parent = np.concatenate([parent, parent[a]])
        faces = np.concatenate([faces[~split], _split_faces(faces[split], middle[split])])


def _split_faces(faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Cut faces at the midpoints of their edges (0,1), (1,2), (2,0); -1 = edge stays whole."""
    count = (middle >= 0).sum(axis=1)
    # Turn each face until its first edge is split, and, of two split ones, they are the first two.
    first = np.argmax(middle >= 0, axis=1)
    first[(count == 2) & (middle[:, 1] < 0)] = 2
    turn = (np.arange(3) + first[:, None]) % 3
    v0, v1, v2 = np.take_along_axis(faces, turn, 1).T
    m0, m1, m2 = np.take_along_axis(middle, turn, 1).T
    one, two, three = (count == n for n in (1, 2, 3))
    pieces = [
        (one, (v0, m0, v2)),
        (one, (m0, v1, v2)),
        (two, (m0, v1, m1)),
        (two, (v0, m0, m1)),
        (two, (v0, m1, v2)),
        (three, (v0, m0, m2)),
        (three, (m0, v1, m1)),
        (three, (m2, m1, v2)),
        (three, (m0, m1, m2)),
    ]
    return np.concatenate([np.stack(corners, axis=1)[which] for which, corners in pieces])


def _cluster(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep, of the vertices in each cubic cell, the one nearest to their mean.

    Vertices that no face names are left out: stray ones could lie anywhere.
    """
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    vertices, faces = vertices[used], (np.cumsum(used) - 1)[faces]
    cell = np.floor((vertices - vertices.min(axis=0)) / CLUSTER_CELL).astype(np.int64)
    key = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
    _, cluster, size = np.unique(key, return_inverse=True, return_counts=True)
    mean = np.stack(
        [np.bincount(cluster, weights=vertices[:, axis]) / size for axis in range(3)], axis=1
    )
    distance = np.linalg.norm(vertices - mean[cluster], axis=1)
    order = np.lexsort((distance, cluster))
    kept = order[np.cumsum(size) - size]
    merged = cluster[faces].astype(np.int32)
    merged = merged[(merged != np.roll(merged, 1, axis=1)).all(axis=1)]
    _, first = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
    source = np.flatnonzero(used)[kept].astype(np.int32)
    return vertices[kept], merged[np.sort(first)], source
