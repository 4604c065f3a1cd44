"""Over-segmentation of a triangle mesh into smooth patches: its geometric consistency sets.

The graph-based segmentation of Felzenszwalb and Huttenlocher (IJCV 2004) on mesh edges weighted by
the bend of the surface, as the ScanNet Segmentator applies it. All arithmetic is float32 and the
sort is stable, so that the labels are a function of the mesh alone.
"""

import numpy as np
from numba import njit

from geoset.errors import GeosetError
from geoset.geometry.mesh import check_faces

ZERO, ONE = np.float32(0), np.float32(1)
SIGN = np.uint32(1 << 31)
DIGIT_BITS, DIGITS = 11, 3  # 3 digits of 11 bits hold a 32-bit key


def oversegment(
    vertices: np.ndarray, faces: np.ndarray, threshold: float = 0.01, min_vertices: int = 20
) -> np.ndarray:
    """Cut a mesh into sets of vertices along its folds.

    Edges are visited by ascending weight, `1 - n1.n2` of the vertex normals, squared where the
    surface is convex. Two components merge while the weight is at most either one's threshold,
    which falls as `threshold / size`; a second pass merges what is under `min_vertices`.

    Args:
        vertices: (V,3) metres, computed with as float32; edges of 2 to 4 cm suit the defaults
        faces: (F,3) integer indices into vertices
        threshold: k of the method; larger values give larger sets
        min_vertices: sets smaller than this join a neighbour, if they have one

    Returns:
        (V,) int32 labels 0..S-1, numbered by first appearance in vertex order. A vertex without
        faces is a set of its own.

    Raises:
        GeosetError: a parameter is out of range, or a face names no vertex or a non-finite one.
    """
    if not threshold > 0:
        raise GeosetError(
            f"threshold is {threshold}, expected a number above 0; 0.01 gives small patches, "
            "0.05 large ones."
        )
    if not min_vertices >= 1:
        raise GeosetError(
            f"min_vertices is {min_vertices}, expected 1 or more; 1 keeps sets of any size, "
            "20 is the usual value."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    check_faces(vertices, faces)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    weights = edge_weights(vertices, faces, vertex_normals(vertices, faces))
    order, keys = argsort_keys(sortable_keys(weights))
    weights = weights_of_keys(keys)
    return merge_edges(
        len(vertices), faces, order, weights, np.float32(threshold), int(min_vertices)
    )


@njit(cache=True, nogil=True)
def vertex_normals(vertices, faces):
    """Return (V,3): the running mean of the unit normals of a vertex's faces, in face order."""
    normals = np.zeros_like(vertices)
    counts = np.zeros(len(vertices), dtype=np.int32)
    for f in range(len(faces)):
        i, j, k = faces[f]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        length = np.sqrt(x * x + y * y + z * z)
        if not (length > ZERO and length < np.inf):
            continue  # a face without area has no normal
        x, y, z = x / length, y / length, z / length
        for v in (i, j, k):
            new = ONE / np.float32(counts[v] + 1)
            old = ONE - new
            normals[v, 0] = new * x + old * normals[v, 0]
            normals[v, 1] = new * y + old * normals[v, 1]
            normals[v, 2] = new * z + old * normals[v, 2]
            counts[v] += 1
    return normals


@njit(cache=True, nogil=True, inline="always")
def edge_ends(face, side):
    """Return the vertices of a face's edge 0, 1 or 2: (0,1), (0,2), (2,1)."""
    if side == 0:
        return face[0], face[1]
    if side == 1:
        return face[0], face[2]
    return face[2], face[1]


@njit(cache=True, nogil=True)
def edge_weights(vertices, faces, normals):
    """Return (3F,) float32 weights of the edges, three a face."""
    weights = np.empty(3 * len(faces), dtype=np.float32)
    for e in range(len(weights)):
        i, j = edge_ends(faces[e // 3], e % 3)
        weight = ONE - (
            normals[i, 0] * normals[j, 0]
            + normals[i, 1] * normals[j, 1]
            + normals[i, 2] * normals[j, 2]
        )
        x = vertices[j, 0] - vertices[i, 0]
        y = vertices[j, 1] - vertices[i, 1]
        z = vertices[j, 2] - vertices[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > ZERO:
            x, y, z = x / length, y / length, z / length
            if normals[j, 0] * x + normals[j, 1] * y + normals[j, 2] * z > ZERO:  # convex
                weight *= weight
        weights[e] = weight
    return weights


def sortable_keys(weights: np.ndarray) -> np.ndarray:
    """Return float32 `weights` as uint32 in the same order; they are overwritten.

    Rounding makes some weights negative: all their bits flip, others gain the sign bit.
    """
    bits = weights.view(np.uint32)
    return np.bitwise_xor(bits, np.where(bits & SIGN, ~np.uint32(0), SIGN), out=bits)


def weights_of_keys(keys: np.ndarray) -> np.ndarray:
    """Undo `sortable_keys`, in place too."""
    return np.bitwise_xor(keys, np.where(keys & SIGN, SIGN, ~np.uint32(0)), out=keys).view(
        np.float32
    )


@njit(cache=True, nogil=True)
def argsort_keys(keys):
    """Sort uint32 `keys` stably by radix; return (order, sorted keys). `keys` is overwritten."""
    n = len(keys)
    order = np.arange(n).astype(np.uint32)
    keys_out, order_out = np.empty_like(keys), np.empty_like(order)
    mask = np.uint32((1 << DIGIT_BITS) - 1)
    for digit in range(DIGITS):
        shift = np.uint32(DIGIT_BITS * digit)
        starts = np.zeros(1 << DIGIT_BITS, dtype=np.int64)
        for e in range(n):
            starts[(keys[e] >> shift) & mask] += 1
        total = 0
        for value in range(len(starts)):
            starts[value], total = total, total + starts[value]
        for e in range(n):
            value = (keys[e] >> shift) & mask
            keys_out[starts[value]], order_out[starts[value]] = keys[e], order[e]
            starts[value] += 1
        keys, keys_out = keys_out, keys
        order, order_out = order_out, order
    return order, keys


@njit(cache=True, nogil=True, inline="always")
def find_root(parents, v):
    """Return the root of v's component, halving the path to it."""
    while parents[v] != v:
        parents[v] = parents[parents[v]]
        v = parents[v]
    return v


@njit(cache=True, nogil=True)
def merge_edges(vertex_count, faces, order, weights, threshold, min_vertices):
    """Merge components along edges, `order` by ascending `weights`; return (V,) int32 labels."""
    parents = np.arange(vertex_count).astype(np.int32)
    sizes = np.ones(vertex_count, dtype=np.int32)
    limits = np.full(vertex_count, threshold, dtype=np.float32)
    for small_only in (False, True):
        for position in range(len(order)):
            i, j = edge_ends(faces[order[position] // 3], order[position] % 3)
            a, b = find_root(parents, i), find_root(parents, j)
            weight = weights[position]
            if a == b:
                continue
            if small_only:
                merge = sizes[a] < min_vertices or sizes[b] < min_vertices
            else:
                merge = weight <= limits[a] and weight <= limits[b]
            if merge:
                if sizes[a] < sizes[b]:
                    a, b = b, a
                parents[b] = a
                sizes[a] += sizes[b]
                limits[a] = weight + threshold / np.float32(sizes[a])
    return number_components(parents)


@njit(cache=True, nogil=True)
def number_components(parents):
    """Return (V,) int32 labels of the components, 0.. by first appearance."""
    labels = np.full(len(parents), -1, dtype=np.int32)
    found = 0
    for v in range(len(parents)):
        root = find_root(parents, v)
        if labels[root] < 0:
            labels[root] = found
            found += 1
        labels[v] = labels[root]
    return labels
