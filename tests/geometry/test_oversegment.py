import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.oversegment import (
    argsort_keys,
    oversegment,
    sortable_keys,
    weights_of_keys,
)
from reference.oversegment import oversegment as reference

# An open book: spine 0-1 along y, page 2-3 in the floor, page 4-5 in the wall above the spine.
# Seen from inside, normals are z on the first page, x on the second and (x + z) / 2 on the spine.
BOOK = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]], np.float32)
INSIDE = np.array([[0, 2, 3], [0, 3, 1], [0, 1, 5], [0, 5, 4]])
OUTSIDE = np.array([[0, 3, 2], [0, 1, 3], [0, 5, 1], [0, 4, 5]])


def grid(rows, columns, height):
    """Make a grid of 3 cm cells whose z is `height(y, x)`."""
    y, x = np.mgrid[:rows, :columns] * 0.03
    vertices = np.stack([x, y, height(y, x)], axis=-1).reshape(-1, 3)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return vertices, np.concatenate([lower, upper])


def noisy_folds(rng):
    slope = rng.uniform(-3, 3)
    vertices, faces = grid(14, 11, lambda y, x: slope * np.abs(x - 0.15) + np.floor(y / 0.2) * 0.3)
    return vertices + rng.normal(0, rng.choice([0, 1e-4, 2e-3]), vertices.shape), faces


def soup(rng):
    return rng.normal(size=(90, 3)), rng.integers(0, 90, (rng.integers(1, 160), 3))


def degenerate(rng):
    """Duplicate and isolated vertices, slivers, and faces that name a vertex twice."""
    vertices, faces = noisy_folds(rng)
    vertices = np.concatenate([vertices, vertices[:40], rng.normal(size=(10, 3))])
    vertices[rng.integers(0, len(vertices), 30)] = vertices[5]
    faces = rng.permutation(np.concatenate([faces, rng.integers(0, 180, (20, 3))]))
    faces[rng.integers(0, len(faces), 10), 1] = faces[rng.integers(0, len(faces), 10), 0]
    return vertices, faces


def non_manifold(rng):
    """Faces repeated, turned over, and three or more along an edge."""
    vertices, faces = noisy_folds(rng)
    again = rng.choice(faces, 60)
    again[:30] = again[:30, ::-1]
    fins = rng.choice(faces, 30)
    fins[:, 2] = rng.integers(0, len(vertices), 30)
    return vertices, rng.permutation(np.concatenate([faces, again, fins]))


def flat(rng):
    """Every weight a tie or rounding noise about zero, some of it negative."""
    vertices, faces = grid(12, 12, lambda y, x: 0.37 * x - 0.61 * y)
    return vertices @ np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.permutation(faces)


def lattice(rng):
    """Random faces on few positions: many equal weights, zero areas, right angles."""
    return rng.integers(0, 3, (60, 3)).astype(float), rng.integers(0, 60, (120, 3))


def overflowing(rng):
    vertices, faces = soup(rng)
    return vertices * 10.0 ** rng.integers(-30, 30, (len(vertices), 1)), faces


KINDS = [noisy_folds, soup, degenerate, non_manifold, flat, lattice, overflowing]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_equal_those_of_the_plain_transcription(kind):
    sets = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        vertices, faces = kind(rng)
        threshold = rng.choice([0.003, 0.01, 0.05, 0.3, 2])
        min_vertices = int(rng.choice([1, 2, 5, 20]))
        expected = reference(vertices, faces, threshold, min_vertices)
        labels = oversegment(vertices, faces, threshold, min_vertices)
        np.testing.assert_array_equal(labels, expected, err_msg=f"seed {seed}")
        sets.append(labels.max() + 1)
    assert kind is flat or max(sets) > 3  # else the comparison says little


def test_concave_book_by_hand():
    # Weights: 0 within a page, 1 - 1/2 from page to spine and along it; nothing is convex.
    # k = 0.4: the pages merge (limit 0.4 / 2), 0.5 exceeds every limit.
    labels = oversegment(BOOK, INSIDE, threshold=0.4, min_vertices=1)
    np.testing.assert_array_equal(labels, [0, 1, 2, 2, 3, 3])
    assert labels.dtype == np.int32
    # k = 0.6: the spine's two vertices merge as well, 0.5 <= 0.6; the pages stay at 0.3.
    np.testing.assert_array_equal(oversegment(BOOK, INSIDE, 0.6, 1), [0, 0, 1, 1, 2, 2])


def test_convex_book_by_hand():
    # Turned over, edge (3, 1) climbs along vertex 1's normal: convex, 0.5 squared. With k = 0.6
    # vertex 1 joins page {2, 3}: 0.25 <= 0.3. Then 0.5 exceeds its 0.25 + 0.6 / 3 and page 4-5's.
    np.testing.assert_array_equal(oversegment(BOOK, OUTSIDE, 0.6, 1), [0, 1, 1, 1, 2, 2])


def test_small_sets_join_along_the_first_edge_by_hand():
    # As in the first case; then edges (0, 2) and (0, 1) come before those to the second page.
    np.testing.assert_array_equal(oversegment(BOOK, INSIDE, 0.4, 2), [0, 0, 0, 0, 1, 1])


def test_room_of_eight_vertices_is_one_set_a_component():
    corners = np.array(np.meshgrid([0, 5], [0, 4], [0, 3])).reshape(3, 8).T.astype(float)
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = np.array([[(a, b, c), (a, c, d)] for a, b, c, d in sides]).reshape(-1, 3)
    np.testing.assert_array_equal(oversegment(corners, faces), np.zeros(8))


def test_a_wall_and_a_floor_are_two_sets():
    vertices, faces = grid(20, 30, lambda y, x: np.maximum(x - 0.45, 0))
    vertices[:, 0] = np.minimum(vertices[:, 0], 0.45)
    labels = oversegment(vertices, faces).reshape(20, 30)
    assert labels.max() == 1
    assert (labels[:, :15] == 0).all()
    assert (labels[:, 16:] == 1).all()


def test_without_faces_every_vertex_is_its_own_set():
    no_faces = np.empty((0, 3), np.int32)
    np.testing.assert_array_equal(oversegment(np.zeros((4, 3)), no_faces), [0, 1, 2, 3])
    assert oversegment(np.empty((0, 3)), no_faces).shape == (0,)


def test_non_finite_vertices_without_faces_are_sets_of_their_own():
    vertices = np.concatenate([[[np.nan] * 3], BOOK, [[np.inf] * 3]])
    labels = oversegment(vertices, INSIDE + 1, 0.4, 1)
    np.testing.assert_array_equal(labels, [0, 1, 2, 3, 3, 4, 4, 5])


def test_keys_sort_like_their_weights_and_stably():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=5000).astype(np.float32)
    weights[::3] = rng.choice(np.float32([0, 1e-40, 1, -1e-7, 2, -1e-40, 3e38]), len(weights[::3]))
    order, keys = argsort_keys(sortable_keys(weights.copy()))
    np.testing.assert_array_equal(order, np.argsort(weights, kind="stable"))
    np.testing.assert_array_equal(weights_of_keys(keys), np.sort(weights))


@pytest.mark.parametrize("threshold", [0, -0.01, float("nan")])
def test_threshold_must_be_positive(threshold):
    with pytest.raises(GeosetError, match=f"threshold is {threshold}, expected a number above 0"):
        oversegment(BOOK, INSIDE, threshold)


def test_min_vertices_must_be_positive():
    with pytest.raises(GeosetError, match="min_vertices is 0, expected 1 or more"):
        oversegment(BOOK, INSIDE, min_vertices=0)


def test_bad_faces_are_refused():
    with pytest.raises(GeosetError, match=r"face 2 names vertices \[0, 1, 6\], expected 0\.\.5"):
        oversegment(BOOK, INSIDE + [[0], [0], [0], [0]] + (INSIDE == 5))
    beyond_float32 = BOOK.astype(np.float64)
    beyond_float32[4] = 1e39
    with pytest.raises(GeosetError, match="face 3 has a vertex that is not finite"):
        oversegment(beyond_float32, INSIDE)
