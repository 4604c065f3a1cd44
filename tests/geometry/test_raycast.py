import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry import raycast
from geoset.geometry.camera import Camera, transform
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.raycast import Raycaster
from reference.raycast import cast as reference

HAVE_EMBREE = raycast.EmbreeScene is not None
BACKENDS = [
    pytest.param(
        "embree", marks=pytest.mark.skipif(not HAVE_EMBREE, reason="embreex is not installed")
    ),
    "zbuffer",
]
CAMERA = Camera(np.array([[58.0, 0.3, 32.6], [0, 61.0, 23.7], [0, 0, 1]]), 64, 48)
ROOM = np.array([5.0, 3.0, 4.0])


def box(cells):
    """Make the box [0, ROOM] whose six walls are grids of `cells` x `cells`, two triangles each.

    Wall (axis, side) comes as number 2 * axis + side; its vertex (i, j) as i * (cells + 1) + j, i
    along axis + 1 and j along axis + 2; a cell's first triangle holds its corner (i, j).
    """
    i, j = np.mgrid[: cells + 1, : cells + 1]
    corner = (i * (cells + 1) + j)[:-1, :-1].ravel()
    down, right = corner + cells + 1, corner + 1
    pair = np.stack([np.stack([corner, right, down], 1), np.stack([right, down + 1, down], 1)], 1)
    vertices, faces = [], []
    for axis in range(3):
        for side in range(2):
            points = np.empty((cells + 1, cells + 1, 3))
            points[..., axis] = side
            points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = i / cells, j / cells
            faces.append(pair.reshape(-1, 3) + len(vertices) * (cells + 1) ** 2)
            vertices.append(points.reshape(-1, 3) * ROOM)
    return TriangleMesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))


def pose(seed, position):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    matrix[:3, 3] = position
    return matrix


def box_seen_from(world_from_camera, cells):
    """Return depth, vertex and the lead of its weight for every pixel, in closed form."""
    position, rays = world_from_camera[:3, 3], CAMERA.rays() @ world_from_camera[:3, :3].T
    distances = (np.where(rays > 0, ROOM, 0) - position) / rays
    axis, depth = distances.argmin(axis=-1), distances.min(axis=-1)
    hits = (position + depth[..., None] * rays) / ROOM * cells
    rows, columns = np.indices(axis.shape)
    side = rays[rows, columns, axis] > 0
    a, b = hits[rows, columns, (axis + 1) % 3], hits[rows, columns, (axis + 2) % 3]
    i, j = np.floor(a), np.floor(b)
    s, t = a - i, b - j
    upper = s + t > 1  # the triangle beyond the cell's diagonal: its far corner weighs s + t - 1
    weights = np.stack([np.where(upper, s + t - 1, 1 - s - t), np.where(upper, 1 - t, s)], -1)
    weights = np.concatenate([weights, 1 - weights.sum(axis=-1, keepdims=True)], axis=-1)
    best, ranked = weights.argmax(axis=-1), np.sort(weights, axis=-1)
    # by weight: this corner, then the vertex one down, then the one right
    i += np.choose(best, [upper, 1, 0])
    j += np.choose(best, [upper, 0, 1])
    vertex = ((2 * axis + side) * (cells + 1) + i) * (cells + 1) + j
    return depth, vertex, ranked[..., 2] - ranked[..., 1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cells", [1, 7, 60])
def test_box_room_equals_its_closed_form(backend, cells):
    caster = Raycaster(box(cells), backend)
    for seed in range(4):
        world_from_camera = pose(seed, ROOM * np.random.default_rng(seed).uniform(0.1, 0.9, 3))
        vertex_map, depth = caster.cast(CAMERA, world_from_camera)
        expected_depth, expected_vertex, lead = box_seen_from(world_from_camera, cells)
        assert (vertex_map.dtype, depth.dtype) == (np.int32, np.float32)
        np.testing.assert_allclose(depth, expected_depth, atol=1e-4)
        sure = lead > 1e-4  # else float32 may prefer the other of two vertices as near
        assert sure.mean() > 0.995
        np.testing.assert_array_equal(vertex_map[sure], expected_vertex[sure])


def soup(rng):
    return TriangleMesh(rng.normal(size=(60, 3)) * 2, rng.integers(0, 60, (50, 3)))


def sphere_like(rng):
    """Small triangles all around, far and near."""
    centres = rng.normal(size=(200, 1, 3)) * 2
    vertices = (centres + rng.normal(0, 0.3, (200, 3, 3))).reshape(-1, 3)
    return TriangleMesh(vertices, np.arange(600).reshape(-1, 3))


def through_the_eye(rng):
    """Triangles that cross the near plane, some of them close to the camera itself."""
    vertices = rng.normal(size=(120, 3)) * rng.choice([0.01, 1, 50], (120, 1))
    return TriangleMesh(vertices, rng.integers(0, 120, (40, 3)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [soup, sphere_like, through_the_eye])
def test_equals_the_plain_reference(backend, kind):
    pixels = differing = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        mesh, world_from_camera = kind(rng), pose(seed, rng.normal(size=3) * 0.1)
        vertex_map, depth = Raycaster(mesh, backend).cast(CAMERA, world_from_camera)
        expected_map, expected_depth, lead = reference(mesh, CAMERA, world_from_camera)
        assert (depth[vertex_map < 0] == 0).all()
        same = np.isclose(depth, expected_depth, rtol=1e-5, atol=1e-4) & (
            (vertex_map == expected_map) | (lead < 1e-4)
        )
        pixels += same.size
        differing += (~same).sum()
    assert differing <= 1e-3 * pixels  # a ray along an edge may meet either side of it


@pytest.mark.skipif(not HAVE_EMBREE, reason="embreex is not installed")
def test_backends_agree_at_full_size():
    camera = CAMERA.resized(240, 320)
    rng = np.random.default_rng(0)
    mesh = box(40)
    mesh = TriangleMesh(mesh.vertices + rng.normal(0, 0.01, mesh.vertices.shape), mesh.faces)
    for seed in range(3):
        world_from_camera = pose(seed, ROOM * rng.uniform(0.2, 0.8, 3))
        embree_map, embree_depth = Raycaster(mesh, "embree").cast(camera, world_from_camera)
        map_, depth = Raycaster(mesh, "zbuffer").cast(camera, world_from_camera)
        wrong_depth = ~np.isclose(depth, embree_depth, atol=1e-4)
        assert wrong_depth.mean() < 1e-3
        assert (map_ != embree_map).mean() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_ray_leaves_a_closed_box(backend):
    # One pixel a 25 cm, the camera half way: all rays ahead run into vertices and along edges.
    camera = Camera(np.array([[8.0, 0, 8.5], [0, 8.0, 6.5], [0, 0, 1]]), 17, 13)
    caster = Raycaster(box(20), backend)
    for x in np.linspace(0.25, 4.75, 19):
        for y in (0.15, 1.5, 2.85):
            world_from_camera = np.eye(4)
            world_from_camera[:3, 3] = x, y, 2
            vertex_map, depth = caster.cast(camera, world_from_camera)
            assert (vertex_map >= 0).all()
            assert depth[6, 8] == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays_at_the_very_vertices_of_a_wall_meet_it(backend):
    # The camera's pixels are as far apart as the vertices, and shifted onto them.
    mesh, spacing = box(60), ROOM / 60
    for seed in range(10):
        world_from_room = pose(seed, (3, -4, 5))
        room_from_camera = np.eye(4)
        room_from_camera[:3, 3] = eye = ROOM * np.random.default_rng(seed).uniform(0.2, 0.8, 3)
        focal = (ROOM - eye)[2] / spacing[:2]
        center = 0.5 + eye[:2] / spacing[:2] - 1
        K = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
        turned = TriangleMesh(transform(world_from_room, mesh.vertices), mesh.faces)
        caster = Raycaster(turned, backend)
        vertex_map, _ = caster.cast(Camera(K, 59, 59), world_from_room @ room_from_camera)
        wall = np.arange(5 * 61**2, 6 * 61**2).reshape(61, 61).T
        np.testing.assert_array_equal(vertex_map, wall[1:-1, 1:-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_limit_is_a_plane_of_the_camera(backend):
    # The plane x + y = 0.75 mm is met at z = 0.75 mm / (slope of x + slope of y); the slopes of
    # the 3 x 3 rays are 0, 0.5 and 1.
    plane = np.array([[0, 7.5e-4, -9], [9, 7.5e-4 - 9, 9], [-9, 7.5e-4 + 9, 9]])
    camera = Camera(np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]]), 3, 3)
    caster = Raycaster(TriangleMesh(plane, np.array([[0, 1, 2]])), backend)
    _, depth = caster.cast(camera, np.eye(4))
    np.testing.assert_allclose(depth, [[0, 1.5e-3, 0], [1.5e-3, 0, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearest_face_wins_and_both_sides_are_seen(backend):
    far, near = np.array([[-9, -9, 3], [9, -9, 3], [0, 18, 3.0]]), 0.5
    vertices = np.concatenate([far, far * near])
    for faces in ([[0, 1, 2], [3, 4, 5]], [[5, 4, 3], [2, 1, 0]]):
        caster = Raycaster(TriangleMesh(vertices, np.array(faces)), backend)
        vertex_map, depth = caster.cast(CAMERA, np.eye(4))
        np.testing.assert_allclose(depth, 1.5, atol=1e-6)
        assert set(np.unique(vertex_map)) <= {3, 4, 5}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_lies_behind_or_on_the_camera_is_not_seen(backend):
    triangle = np.array([[-9, -9, 1], [9, -9, 1], [0, 18, 1.0]])
    for z in (-1, 0, 5e-4):
        mesh = TriangleMesh(triangle * (1, 1, z), np.array([[0, 1, 2]]))
        vertex_map, depth = Raycaster(mesh, backend).cast(CAMERA, np.eye(4))
        assert (vertex_map == -1).all()
        assert (depth == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_far_from_the_origin_precision_stays(backend):
    mesh, offset = box(7), np.array([4e5, -5e6, 120])
    moved = TriangleMesh(mesh.vertices + offset, mesh.faces)
    here, there = pose(1, ROOM / 2), pose(1, ROOM / 2 + offset)
    expected_map, expected_depth = Raycaster(mesh, backend).cast(CAMERA, here)
    vertex_map, depth = Raycaster(moved, backend).cast(CAMERA, there)
    np.testing.assert_allclose(depth, expected_depth, atol=1e-4)
    assert (vertex_map != expected_map).mean() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mesh_without_faces_shows_nothing(backend):
    for vertices in (np.zeros((4, 3)), np.empty((0, 3))):
        mesh = TriangleMesh(vertices, np.empty((0, 3), np.int32))
        vertex_map, depth = Raycaster(mesh, backend).cast(CAMERA, np.eye(4))
        assert vertex_map.shape == depth.shape == (48, 64)
        assert (vertex_map == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_vertices_and_faces_that_show_nothing_do_no_harm(backend):
    mesh = box(3)
    vertices = np.concatenate([mesh.vertices, [[np.nan] * 3, [np.inf] * 3]])
    faces = np.concatenate([mesh.faces, [[0, 0, 5], [7, 7, 7]]])
    expected_map, expected_depth = Raycaster(mesh, backend).cast(CAMERA, pose(0, ROOM / 2))
    dirty = Raycaster(TriangleMesh(vertices, faces), backend)
    vertex_map, depth = dirty.cast(CAMERA, pose(0, ROOM / 2))
    np.testing.assert_allclose(depth, expected_depth, atol=1e-5)
    assert (vertex_map != expected_map).mean() < 1e-3


def test_of_equal_depths_the_first_face_wins_in_the_zbuffer():
    vertices = np.array([[-9, -9, 2], [9, -9, 2], [0, 18, 2.0]] * 2)
    mesh = TriangleMesh(vertices, np.array([[3, 4, 5], [0, 1, 2]]))
    vertex_map, _ = Raycaster(mesh, "zbuffer").cast(CAMERA, np.eye(4))
    assert vertex_map.min() >= 3


def test_without_embreex_the_zbuffer_steps_in(monkeypatch):
    monkeypatch.setattr(raycast, "EmbreeScene", None)
    assert Raycaster(box(1)).backend == "zbuffer"
    with pytest.raises(GeosetError, match="embreex, which is not installed; run `pip install"):
        Raycaster(box(1), "embree")


def test_bad_arguments_are_refused():
    with pytest.raises(GeosetError, match="backend is 'opengl', expected 'embree' or 'zbuffer'"):
        Raycaster(box(1), "opengl")
    mesh = box(1)
    with pytest.raises(GeosetError, match=r"names vertices \[23, 24, 25\], expected 0\.\.23"):
        Raycaster(TriangleMesh(mesh.vertices, np.array([[23, 24, 25]])))
