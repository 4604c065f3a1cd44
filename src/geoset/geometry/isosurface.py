"""Marching cubes over the blocks of a signed distance field."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

BLOCK = 8  # voxels along an edge of a block
CHUNK = 8  # blocks along an edge of what marching cubes takes at once
KEY_BITS = 21  # of a block coordinate inside its packed key
HALF_RANGE = 1 << (KEY_BITS - 1)


def unpack_keys(keys: np.ndarray) -> np.ndarray:
    """Return (B,3) int64 block coordinates of packed keys."""
    mask = (1 << KEY_BITS) - 1
    fields = (keys >> (2 * KEY_BITS), (keys >> KEY_BITS) & mask, keys & mask)
    return np.stack(fields, axis=1) - HALF_RANGE


def extract_surface(
    keys: np.ndarray, distance: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Run marching cubes over observed voxels, chunk by chunk; vertices in voxel units."""
    blocks = unpack_keys(keys)
    chunk_of_block = np.floor_divide(blocks, CHUNK)
    chunks = np.unique(chunk_of_block, axis=0)
    offset = 0
    vertices, faces = [np.empty((0, 3))], [np.empty((0, 3), dtype=np.int64)]
    size = CHUNK * BLOCK + 1  # one layer more: the first of the next chunk
    for chunk in chunks:
        near = ((blocks >= chunk * CHUNK) & (blocks <= (chunk + 1) * CHUNK)).all(axis=1)
        field = np.ones((size, size, size), dtype=np.float32)
        observed = np.zeros(field.shape, dtype=bool)
        for b in np.flatnonzero(near):
            lower = (blocks[b] - chunk * CHUNK) * BLOCK
            window = tuple(slice(low, low + BLOCK) for low in lower)
            room = tuple(slice(0, size - low) for low in lower)
            field[window] = distance[b][room]
            observed[window] = weight[b][room] > 0
        cells = _all_corners(observed)
        crossing = cells & _all_corners(observed & (field < 1))
        if not crossing.any() or field[observed].min() >= 0:
            continue
        mask = np.zeros(field.shape, dtype=bool)
        mask[1:, 1:, 1:] = crossing  # scikit-image asks the mask at a cell's upper corner
        try:
            v, f, _, _ = marching_cubes(field, 0.0, mask=mask, gradient_direction="descent")
        except RuntimeError:  # no surface inside the mask
            continue
        vertices.append(v.astype(np.float64) + chunk * (CHUNK * BLOCK))
        faces.append(f.astype(np.int64) + offset)
        offset += len(v)
    return _weld(np.concatenate(vertices), np.concatenate(faces))


def _all_corners(flags: np.ndarray) -> np.ndarray:
    """For each cell of 2x2x2 lattice points, whether all of them are set."""
    for axis in range(3):
        lower = np.take(flags, range(flags.shape[axis] - 1), axis)
        flags = lower & np.take(flags, range(1, flags.shape[axis]), axis)
    return flags


def _weld(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the vertices that neighbouring chunks both made on their common face."""
    lattice = np.round(vertices * 1024).astype(np.int64)
    _, first, inverse = np.unique(lattice, axis=0, return_index=True, return_inverse=True)
    faces = inverse.reshape(-1)[faces]
    distinct = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return vertices[first], faces[distinct].astype(np.int32)


def drop_specks(
    vertices: np.ndarray, faces: np.ndarray, min_component: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Leave out connected pieces of few vertices; return how many pieces went."""
    count = len(vertices)
    edges = coo_matrix(
        (np.ones(2 * len(faces), dtype=bool), (faces[:, :2].ravel(), faces[:, 1:].ravel())),
        shape=(count, count),
    )
    pieces, piece = connected_components(edges, directed=False)
    large = np.bincount(piece, minlength=pieces) >= min_component
    keep = large[piece]
    renumber = np.cumsum(keep) - 1
    faces = renumber[faces[keep[faces[:, 0]]]].astype(np.int32)
    return vertices[keep], faces, int((~large).sum())
