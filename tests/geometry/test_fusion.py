import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from geoset.errors import GeosetError
from geoset.geometry import fusion
from geoset.geometry.camera import Camera, transform
from geoset.geometry.fusion import (
    DepthView,
    _allocate,
    _close_pinholes,
    _integrate,
    fuse_depth,
)
from geoset.geometry.isosurface import BLOCK, unpack_keys
from geoset.geometry.mesh import TriangleMesh, face_normals
from geoset.geometry.raycast import Raycaster
from geoset.geometry.smoothing import smooth_surface
from geoset.recipes import FusionSettings
from reference.empty_room import distance_to_walls, look_at, see, walk_around
from reference.fusion import integrate

RAW = FusionSettings(smoothing_steps=0)
VOXEL = RAW.voxel_size
CAMERA = Camera(np.array([[110.0, 0, 80], [0, 112, 61], [0, 0, 1]]), 160, 120)
WIDE = Camera(np.array([[50.0, 0, 64], [0, 50, 64], [0, 0, 1]]), 128, 128)
SIZE = np.array([4.0, 3.0, 2.5])  # more than one chunk of 1.92 m along every axis


def view(camera, pose, size=SIZE):
    return DepthView(see(camera, pose, size)[0].astype(np.float32), camera, pose)


def facing_plane(depth, camera=CAMERA):
    """One view at the origin of a wall across its z axis."""
    return DepthView(np.full((camera.height, camera.width), depth, np.float32), camera, np.eye(4))


def faces_per_edge(faces):
    """How many faces share each edge."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


@pytest.fixture(scope="module")
def all_around():
    """Six wide views from the middle of a room: between them, they see all of it."""
    ways = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (1e-3, 0, 1), (1e-3, 0, -1)]
    return [view(WIDE, look_at(SIZE / 2, SIZE / 2 + way)) for way in ways]


@pytest.fixture(scope="module")
def walked():
    return [view(CAMERA, pose) for pose in walk_around(SIZE, 12)]


class TestIntegrate:
    """Against plain loops, on a corner of a small room seen from within it."""

    SETTINGS = FusionSettings(voxel_size=0.04, max_depth=1.4)
    TINY = Camera(np.array([[14.0, 0, 8.3], [0, 15, 5.8], [0, 0, 1]]), 16, 12)

    def views(self):
        size = np.array([1.2, 1.0, 0.9])
        eyes = [(0.5, 0.4, 0.45), (0.8, 0.3, 0.6), (0.3, 0.7, 0.3)]
        views = [view(self.TINY, look_at(eye, (1.1, 0.9, 0.2)), size) for eye in eyes]
        views[0].depth[3:5, 4:9] = 0  # a hole
        for seen in views:
            seen.depth[seen.depth > self.SETTINGS.max_depth] = 0  # fuse_depth has done so by now
        return views

    def test_equals_plain_loops(self):
        views = self.views()
        _, keys = _allocate(views, self.SETTINGS)
        distance, weight = _integrate(views, keys, self.SETTINGS)
        within = np.stack(np.indices((BLOCK,) * 3), axis=-1)
        lattice = unpack_keys(keys)[:, None, None, None] * BLOCK + within
        points = lattice.reshape(-1, 3) * self.SETTINGS.voxel_size
        band = self.SETTINGS.truncation * self.SETTINGS.voxel_size
        expected_distance, expected_weight = integrate(points, views, band, 1.4)
        assert 0.1 < (expected_weight > 0).mean() < 0.9
        np.testing.assert_allclose(weight.ravel(), expected_weight, rtol=1e-5)
        np.testing.assert_allclose(distance.ravel(), expected_distance, atol=1e-5)

    def test_every_measured_point_has_its_block(self):
        views = self.views()
        _, keys = _allocate(views, self.SETTINGS)
        blocks = {tuple(block) for block in unpack_keys(keys)}
        for seen in views:
            valid = seen.depth > 0
            valid[1::2] = valid[:, 1::2] = False  # every second pixel is enough
            points = transform(
                seen.world_from_camera, (seen.camera.rays() * seen.depth[..., None])[valid]
            )
            wanted = np.floor(points / (self.SETTINGS.voxel_size * BLOCK)).astype(int)
            assert {tuple(block) for block in wanted} <= blocks


class TestClosePinholes:
    """By hand: filled with the mean of the valid neighbours if four lie within 5 %."""

    def test_single_hole_in_a_slanted_wall(self):
        depth = np.add.outer(np.zeros(5), 2 + 0.01 * np.arange(5)).astype(np.float32)
        holed = depth.copy()
        holed[2, 2] = 0
        closed = _close_pinholes(holed)
        assert closed[2, 2] == pytest.approx(2.02, abs=1e-6)
        closed[2, 2] = 0
        np.testing.assert_array_equal(closed, holed)

    def test_large_hole_stays_but_for_its_corners(self):
        depth = np.full((9, 9), 2, dtype=np.float32)
        depth[2:7, 2:7] = 0
        closed = _close_pinholes(depth)
        depth[[2, 2, 6, 6], [2, 6, 2, 6]] = 2  # corners have five neighbours, others at most three
        np.testing.assert_array_equal(closed, depth)

    def test_edge_between_two_surfaces_stays_open(self):
        depth = np.full((5, 5), 2, dtype=np.float32)
        depth[:, 3:] = 3
        depth[2, 2] = 0
        assert _close_pinholes(depth)[2, 2] == 0


def test_large_images_are_thinned_and_give_the_same_walls(walked, monkeypatch):
    monkeypatch.setattr(fusion, "LONGEST_SIDE", 80)
    assert fusion._near_depth(walked[0], 5.0).depth.shape == (60, 80)
    vertices = fuse_depth(walked).mesh.vertices
    assert len(vertices) > 5000
    assert np.quantile(distance_to_walls(vertices, SIZE), 0.95) < 0.3 * VOXEL


class TestSurface:
    def test_wall_across_the_view(self):
        fused = fuse_depth([facing_plane(2.01)], RAW)
        vertices, faces = fused.mesh.vertices, fused.mesh.faces
        assert vertices.dtype == np.float64
        assert faces.dtype == np.int32
        np.testing.assert_allclose(vertices[:, 2], 2.01, atol=1e-6)
        # All that is seen, x from -1.462 to 1.462, but for cells that reach out of the picture.
        assert np.abs(vertices[:, 0]).min() < VOXEL
        np.testing.assert_allclose(vertices.min(axis=0)[:2], (-1.462, -1.095), atol=1.5 * VOXEL)
        np.testing.assert_allclose(vertices.max(axis=0)[:2], (1.462, 1.059), atol=2 * VOXEL)
        # The border is that of a rectangle: no hole anywhere.
        columns, rows = (len(np.unique(np.round(vertices[:, k], 4))) for k in range(2))
        assert len(vertices) == columns * rows
        assert (faces_per_edge(faces) == 1).sum() == 2 * (columns - 1) + 2 * (rows - 1)
        assert (face_normals(vertices, faces)[:, 2] < 0).all()  # towards the camera

    def test_room_is_closed_and_faces_inwards(self, all_around):
        """Twelve chunks: watertight means that they are welded, and that nothing is missing."""
        fused = fuse_depth(all_around, RAW)
        vertices, faces = fused.mesh.vertices, fused.mesh.faces
        shared = faces_per_edge(faces)
        assert (shared == 2).all()
        assert len(vertices) - len(shared) + len(faces) == 2  # Euler's number of a sphere
        assert len(np.unique(np.round(vertices, 5), axis=0)) == len(vertices)
        assert len(np.unique(faces)) == len(vertices)
        corners = vertices[faces]
        signed = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
        assert signed.sum() / 6 == pytest.approx(-SIZE.prod(), rel=1e-3)  # normals face inwards
        assert fused.specks == 0

    def test_walls_lie_where_they_are(self, walked):
        mesh = fuse_depth(walked, RAW).mesh
        away = distance_to_walls(mesh.vertices, SIZE)
        assert away.mean() < 0.1 * VOXEL
        assert away.max() < 0.5 * VOXEL  # in the corners

    def test_no_holes_where_seen(self, walked):
        mesh = fuse_depth(walked, RAW).mesh
        caster = Raycaster(TriangleMesh(mesh.vertices.astype(np.float32), mesh.faces))
        for seen in walked:
            vertex_map, depth = caster.cast(seen.camera, seen.world_from_camera)
            inner = (slice(8, -8), slice(8, -8))  # cells at the border reach out of the picture
            assert (vertex_map[inner] >= 0).all()
            assert np.abs(depth - seen.depth)[inner].max() < VOXEL

    def test_nothing_is_made_up_where_a_thing_ends(self):
        """Between the edge of a thing and the wall behind it, the camera sees no surface."""
        seen = facing_plane(3.0)
        seen.depth[30:90, 40:120] = 1.5
        z = fuse_depth([seen], RAW).mesh.vertices[:, 2]
        assert {round(float(value), 3) for value in np.unique(np.round(z, 3))} == {1.5, 3.0}

    def test_smoothing_follows(self, walked):
        raw = fuse_depth(walked, RAW).mesh
        smoothed = fuse_depth(walked, replace(RAW, smoothing_steps=3)).mesh
        np.testing.assert_array_equal(smoothed.faces, raw.faces)
        np.testing.assert_allclose(
            smoothed.vertices, smooth_surface(raw.vertices, raw.faces, 3), atol=1e-9
        )

    def test_far_from_the_origin(self, walked):
        here = fuse_depth(walked, RAW).mesh
        shift = np.array([10_000.0, -10_000.0, 300.0])
        moved = [replace(seen, world_from_camera=seen.world_from_camera.copy()) for seen in walked]
        for seen in moved:
            seen.world_from_camera[:3, 3] += shift
        there = fuse_depth(moved, RAW).mesh
        assert there.faces.shape == here.faces.shape
        # Matched by place: a last bit can exchange the numbers of two vertices.
        distance, match = cKDTree(here.vertices).query(there.vertices - shift)
        assert distance.max() < 1e-3
        assert len(np.unique(match)) == len(match) == len(here.vertices)


class TestWildDepth:
    def test_spikes_count_as_no_depth(self, walked):
        rng = np.random.default_rng(0)
        spiked, holed = [], []
        for seen in walked:
            hit = rng.random(seen.depth.shape) < 0.02
            spiked.append(replace(seen, depth=np.where(hit, np.float32(65), seen.depth)))
            holed.append(replace(seen, depth=np.where(hit, np.float32(0), seen.depth)))
        first, second = fuse_depth(spiked, RAW).mesh, fuse_depth(holed, RAW).mesh
        np.testing.assert_array_equal(first.faces, second.faces)
        np.testing.assert_array_equal(first.vertices, second.vertices)
        assert distance_to_walls(first.vertices, SIZE).max() < VOXEL

    def test_specks_are_dropped_and_counted(self):
        seen = facing_plane(3.0)
        seen.depth[20:32, 20:32] = seen.depth[80:92, 100:112] = 1.0  # 11 cm wide each
        fused = fuse_depth([seen], RAW)
        assert fused.specks == 2
        np.testing.assert_allclose(fused.mesh.vertices[:, 2], 3, atol=1e-6)
        kept = fuse_depth([seen], replace(RAW, min_component=4))
        assert kept.specks == 0
        assert kept.mesh.vertices[:, 2].min() == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("depth", [0, 65.0, 5.01])
    def test_no_valid_depth(self, depth):
        text = "none of 2 depth images has a valid depth under 5 m; check the depth unit, or raise"
        with pytest.raises(GeosetError, match=re.escape(text)):
            fuse_depth([facing_plane(depth)] * 2)

    def test_no_surface(self):
        seen = facing_plane(0)
        seen.depth[60, 80] = 2
        text = (
            "1 depth images, and no surface in them: check that the poses are world_from_camera "
            "in metres, and that depth is in the unit of the format"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            fuse_depth([seen])


class TestMemory:
    def test_voxels_grow_until_they_fit(self, walked):
        small = replace(RAW, max_megabytes=2)
        settings, keys = _allocate(walked, small)
        bytes_per_voxel = 8  # distance and weight
        assert len(keys) * BLOCK**3 * bytes_per_voxel <= 2e6
        growth = np.log(settings.voxel_size / VOXEL) / np.log(1.25)
        assert growth == pytest.approx(round(growth))
        assert growth >= 1
        one_size_less = replace(small, voxel_size=settings.voxel_size / 1.25, max_megabytes=600)
        assert len(_allocate(walked, one_size_less)[1]) * BLOCK**3 * bytes_per_voxel > 2e6
        fused = fuse_depth(walked, small)
        assert fused.voxel_size == settings.voxel_size
        assert distance_to_walls(fused.mesh.vertices, SIZE).max() < 0.5 * settings.voxel_size

    def test_voxels_that_fit_stay(self, walked):
        assert fuse_depth(walked, RAW).voxel_size == VOXEL
