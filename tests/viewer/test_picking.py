import numpy as np
import pytest
from inward_room import inward_mesh

from geoset.geometry.raycast import Raycaster
from geoset.viewer.picking import vertex_under
from reference.box_room import CAMERA, POSES

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
UPWARD = np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    ("place", "vertex"), [((0.9, 0.05), 1), ((0.1, 0.9), 3), ((0.95, 0.9), 2), ((1.1, 0.5), None)]
)
def test_the_nearest_corner(place, vertex):
    assert vertex_under(SQUARE, UPWARD, (*place, 2), (0, 0, -1)) == vertex


def test_backs_are_looked_through_and_what_lies_behind_is_not_met():
    vertices = np.concatenate([SQUARE, SQUARE + np.float32([0, 0, 1])])
    downward = UPWARD[:, ::-1] + 4  # a ceiling, seen from above
    faces = np.concatenate([UPWARD, downward])
    assert vertex_under(vertices, faces, (0.9, 0.05, 2), (0, 0, -1)) == 1
    assert vertex_under(vertices, faces, (0.9, 0.05, 0.5), (0, 0, 2)) == 5
    assert vertex_under(vertices, faces, (0.9, 0.05, -0.5), (0, 0, -1)) is None


def test_agrees_with_ray_casting_inside_a_room():
    mesh, pose = inward_mesh(), POSES[0]
    camera = CAMERA.resized(6, 8)
    cast, _ = Raycaster(mesh).cast(camera, pose)
    rays = camera.rays() @ pose[:3, :3].T
    picked = [
        vertex_under(mesh.vertices, mesh.faces, pose[:3, 3], ray) for ray in rays.reshape(-1, 3)
    ]
    assert np.mean(np.array(picked) == cast.ravel()) > 0.95  # but for ties
