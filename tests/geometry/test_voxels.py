import numpy as np
import pytest

from geoset.geometry.camera import Camera
from geoset.geometry.voxels import depth_box, voxelize
from reference import points as reference
from reference.empty_room import look_at

CAMERA = Camera(np.array([[20.0, 1.5, 15.2], [0, 21.0, 11.7], [0, 0, 1]]), 32, 24)
POSE = look_at((0.3, -0.4, 0.2), (2.0, 1.0, -0.3))


def cloud(seed=0, count=3000, extent=2.0):
    generator = np.random.default_rng(seed)
    vertices = generator.uniform(-extent, extent, (count, 3)).astype(np.float32)
    return vertices, generator.integers(0, 256, (count, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [0.02, 0.3])
def test_voxels_equal_those_of_a_plain_loop(size):
    vertices, colors = cloud()
    vertices[1] = vertices[0]
    voxels = voxelize(vertices, colors, size)
    expected = reference.voxelize(vertices, colors, size)
    assert [tuple(cell) for cell in voxels.cells] == sorted(expected)
    for k, cell in enumerate(voxels.cells):
        color, inside = expected[tuple(cell)]
        np.testing.assert_allclose(voxels.colors[k], color, atol=0.5)
        assert np.flatnonzero(voxels.of_vertex == k).tolist() == inside


def test_colours_by_hand():
    # Cells of 1 m: two vertices share the cell (0,0,0), one lies in (-1,0,2).
    vertices = np.array([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [-0.5, 0.5, 2.5]])
    colors = np.array([[0, 10, 20], [100, 20, 20], [1, 2, 3]], dtype=np.uint8)
    voxels = voxelize(vertices, colors, 1.0)
    assert voxels.cells.tolist() == [[-1, 0, 2], [0, 0, 0]]
    assert voxels.colors.tolist() == [[1, 2, 3], [50, 15, 20]]
    assert voxels.of_vertex.tolist() == [1, 1, 0]
    assert voxels.centers(np.array([1])).tolist() == [[0.5, 0.5, 0.5]]
    assert voxels.nearest(np.array([-9.0, 0, 0])).tolist() == [-0.5, 0.5, 2.5]


@pytest.mark.parametrize("size", [0.02, 0.03, 0.3])
@pytest.mark.parametrize("box", [((-1, -1, 0), (1, 0, 2)), ((-9, -9, -9), (9, 9, 9))])
def test_a_box_holds_the_voxels_whose_centres_it_holds(size, box):
    voxels = voxelize(*cloud(), size)
    low, high = np.array(box)
    found = {tuple(cell) for cell in voxels.cells[voxels.inside(low, high)]}
    assert found == reference.cells_in_box([tuple(c) for c in voxels.cells], size, low, high)
    assert (voxels.cells[voxels.inside(low, high)] >= voxels.first_cell(low)).all()


def test_an_empty_box():
    voxels = voxelize(*cloud())
    assert voxels.inside(np.full(3, 5.0), np.full(3, 7.0)).tolist() == []
    assert voxels.inside(np.full(3, np.inf), np.full(3, -np.inf)).tolist() == []


def test_landings_equal_those_of_a_plain_loop():
    generator = np.random.default_rng(1)
    depth = generator.uniform(0.3, 2.5, (24, 32)).astype(np.float32)
    depth[generator.random((24, 32)) < 0.3] = 0
    depth[3, 4] = np.nan
    voxels = voxelize(*cloud(count=12000), 0.05)
    index = np.arange(1, len(voxels.cells), 2)
    found = voxels.landings(index, CAMERA, POSE, depth, 0.2)
    landed = 0
    for n, k in enumerate(index):
        expected = reference.landing(voxels.cells[k], 0.05, CAMERA.K, POSE, depth)
        assert found[n] == (-1 if expected is None else expected[1] * 32 + expected[0])
        landed += expected is not None
    assert landed > 50


def test_voxels_behind_the_camera_do_not_land():
    camera = Camera(np.array([[20.0, 0, 16], [0, 20.0, 12], [0, 0, 1]]), 32, 24)
    depth = np.full((24, 32), 0.05, dtype=np.float32)  # so near that z = -0.05 would agree with it
    voxels = voxelize(np.array([[0.0, 0, 0.1], [0, 0, -0.05]]), np.zeros((2, 3), np.uint8), 0.02)
    found = voxels.landings(np.arange(2), camera, np.eye(4), depth, 0.2)
    assert voxels.cells[:, 2].tolist() == [-3, 5]
    assert found[0] == -1
    assert found[1] >= 0


def test_the_box_of_a_depth_map():
    generator = np.random.default_rng(2)
    depth = generator.uniform(0.3, 2.5, (24, 32)).astype(np.float32)
    depth[:, :5] = 0
    depth[0, 9] = np.nan
    low, high = depth_box(depth, CAMERA, POSE)
    found = np.floor(low).tolist(), np.ceil(high).tolist()
    assert found == tuple(map(list, reference.box_of_depth(depth, CAMERA.K, POSE)))
    # A pixel looks through its centre: the box is that of one point.
    depth[:] = 0
    depth[7, 11] = 2
    low, high = depth_box(depth, CAMERA, POSE)
    ray = np.linalg.solve(CAMERA.K, [11.5, 7.5, 1])
    np.testing.assert_allclose(low, (POSE @ [*(2 * ray), 1])[:3])
    np.testing.assert_array_equal(low, high)


def test_no_depth_no_box():
    low, high = depth_box(np.zeros((24, 32), np.float32), CAMERA, POSE)
    assert (low > high).all()
