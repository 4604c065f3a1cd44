"""Points of views, from box rooms: one with a hole in its depth, one without depth."""

import numpy as np
import pytest
import torch

from geoset.data.points import PointSampler
from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from reference import points as reference
from reference.box_room import look_at, see, write_box_room

CAMERA = Camera(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), 64, 48)
POSES = [look_at((0.6 + 0.05 * k, 0.5, 0.6), (2.0, 1.2 - 0.1 * k, 0.4)) for k in range(2)]
HOLE = np.s_[10:20, 30:50]
ALL = 10_000  # samples: more than there are matches
RULES = ["visible", "projection"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    depths = [see(CAMERA, pose).depth for pose in POSES]
    for depth in depths:
        depth[HOLE] = 0
    for name, given in (("a", depths), ("b", None)):
        scan = write_box_room(folder / "scans" / name, POSES, CAMERA, depths=given)
        prepare_scene(scan, folder, PrepareSettings(image_size=(48, 64), min_overlap=0))
    return [PreparedScene(folder / name) for name in ("a", "b")]


def sample(scenes, views, matches="visible", samples=ALL, seed=0, **options):
    """Points of `views`, (scene, frame) each."""
    depth = np.stack(
        [
            scenes[scene].depth(frame) if scenes[scene].has_depth else np.zeros((48, 64), "f4")
            for scene, frame in views
        ]
    )
    sampler = PointSampler(scenes, matches, samples, **options)
    return sampler.batch(np.array(views), depth, (seed,))


def surface(scene, size=0.02):
    return reference.voxelize(scene.vertices, scene.colors, size)


def matches_of(batch, view, corner):
    """{cell: pixel} of the samples of a view whose box starts at `corner`, in metres."""
    count = batch.count[view]
    cells = batch.voxels[batch.voxel[view, :count]].numpy() + np.array(corner) * 50
    assert (batch.view[batch.voxel[view, :count]] == view).all()
    found = dict(
        zip(map(tuple, cells), map(tuple, batch.pixel[view, :count].tolist()), strict=True)
    )
    assert len(found) == count  # no voxel twice
    return found


@pytest.mark.parametrize("matches", RULES)
def test_voxels_are_those_in_the_box_of_the_view(scenes, matches):
    views = [(0, 0), (0, 1)]
    batch = sample(scenes[:1], views, matches)
    cells = surface(scenes[0])
    for view, (_, frame) in enumerate(views):
        low, high = reference.box_of_depth(
            scenes[0].depth(frame), scenes[0].camera(frame).K, scenes[0].world_from_camera(frame)
        )
        mine = batch.view == view
        found = batch.voxels[mine].numpy() + np.array(low) * 50
        expected = reference.cells_in_box(cells, 0.02, low, high)
        assert set(map(tuple, found)) == expected
        assert len(found) == len(expected) > 1000
        for cell, color in zip(found[::50], batch.colors[mine][::50].numpy(), strict=True):
            np.testing.assert_allclose(255 * color, cells[tuple(cell)][0], atol=0.51)
    assert len(expected) < len(cells)  # the room is longer than what the view sees of it
    assert (batch.view.diff() >= 0).all()


def test_visible_matches_are_the_voxels_that_pixels_see(scenes):
    scene = scenes[0]
    batch = sample(scenes[:1], [(0, 0)])
    cell_of_vertex = {
        vertex: cell for cell, (_, inside) in surface(scene).items() for vertex in inside
    }
    seen = {}
    for (y, x), vertex in np.ndenumerate(scene.vertex_map(0)):
        if vertex >= 0:
            seen.setdefault(cell_of_vertex[vertex], set()).add((x, y))
    low, _ = reference.box_of_depth(scene.depth(0), scene.camera(0).K, scene.world_from_camera(0))
    found = matches_of(batch, 0, low)
    assert found.keys() == seen.keys()
    assert all(pixel in seen[cell] for cell, pixel in found.items())


def test_projected_matches_follow_the_rule_of_pri3d(scenes):
    scene = scenes[0]
    batch = sample(scenes[:1], [(0, 0)], "projection")
    K, pose, depth = scene.camera(0).K, scene.world_from_camera(0), scene.depth(0)
    low, high = reference.box_of_depth(depth, K, pose)
    expected = {
        cell: reference.landing(cell, 0.02, K, pose, depth)
        for cell in reference.cells_in_box(surface(scene), 0.02, low, high)
    }
    expected = {cell: pixel for cell, pixel in expected.items() if pixel is not None}
    assert matches_of(batch, 0, low) == expected
    assert not any(HOLE[0].start <= y < HOLE[0].stop and 30 <= x < 50 for x, y in expected.values())


def test_the_two_rules_agree(scenes):
    """Pixels of voxels that both find are neighbours, on walls of 2.5 cm between vertices."""
    visible, projected = (sample(scenes[:1], [(0, 0)], rule) for rule in RULES)
    a, b = (matches_of(batch, 0, (0, 0, 0)) for batch in (visible, projected))
    both = a.keys() & b.keys()
    assert len(both) > 0.5 * len(a)
    distance = np.abs([np.subtract(a[cell], b[cell]).max() for cell in both])
    assert np.quantile(distance, 0.9) <= 3


@pytest.mark.parametrize("matches", RULES)
def test_samples_are_distinct_and_padded(scenes, matches):
    views = [(0, 0), (0, 1)]
    whole, few = (sample(scenes[:1], views, matches, samples) for samples in (ALL, 50))
    assert few.count.tolist() == [50, 50]
    assert (few.voxel.shape, few.pixel.shape) == ((2, 50), (2, 50, 2))
    for view in range(2):
        count = whole.count[view]
        assert 100 < count < ALL
        assert len(whole.voxel[view, :count].unique()) == count
        assert len(few.voxel[view].unique()) == 50
        assert set(few.voxel[view].tolist()) < set(whole.voxel[view, :count].tolist())
        # Padding points at something: the loss leaves it out, indexing must not fail.
        assert (whole.voxel[view, count:] == whole.voxel[view, count:][0]).all()
    assert len(whole.view) == len(whole.voxels) == len(whole.colors) > whole.voxel.max()
    assert whole.pixel.min() >= 0
    assert (whole.pixel.amax((0, 1)) < torch.tensor([64, 48])).all()


def test_draws_are_uniform(scenes):
    """Each voxel as often as any other, and each of its pixels."""
    sampler = PointSampler(scenes[:1], samples=200)
    views, depth = np.array([[0, 0]]), scenes[0].depth(0)[None]
    batches = [sampler.batch(views, depth, (k,)) for k in range(300)]
    available = sample(scenes[:1], [(0, 0)]).count.item()
    drawn = torch.cat([batch.voxel[0] for batch in batches]).bincount()
    drawn = drawn[drawn > 0].float()
    expected = 300 * 200 / available
    assert len(drawn) == available
    # Hypergeometric: variance close to 300 p (1 - p), with p = 200 / available.
    assert drawn.var().item() == pytest.approx(expected * (1 - 200 / available), rel=0.25)
    seen = scenes[0].vertex_map(0)
    often = max(np.unique(seen[seen >= 0]), key=lambda vertex: (seen == vertex).sum())
    y, x = np.nonzero(seen == often)
    pixels = torch.cat([batch.pixel[0] for batch in batches]).numpy()
    counts = [(pixels == pixel).all(1).sum() for pixel in zip(x, y, strict=True)]
    assert len(counts) >= 2
    assert np.ptp(counts) < 6 * np.sqrt(np.mean(counts)) + 1


def test_a_view_has_the_same_points_in_any_batch(scenes):
    together, alone = (
        sample(scenes, [(0, 0), (1, 1)], samples=100),
        sample(scenes, [(1, 1)], samples=100),
    )
    assert torch.equal(together.pixel[1:], alone.pixel)
    assert torch.equal(together.voxel[1:] - (together.view == 0).sum(), alone.voxel)


def test_frames_of_one_number_in_two_scenes_are_drawn_apart(scenes):
    both = sample([scenes[0], scenes[0]], [(0, 0), (1, 0)], samples=100)
    assert not torch.equal(both.pixel[0], both.pixel[1])


def test_the_seed_decides(scenes):
    views = [(0, 0), (1, 1)]

    def equal(a, b):
        return [torch.equal(*each) for each in zip(a, b, strict=True)]

    first = sample(scenes, views, samples=100)
    assert all(equal(first, sample(scenes, views, samples=100)))
    same = dict(
        zip(
            first._fields,
            equal(first, sample(scenes, views, samples=100, seed=1)),
            strict=True,
        )
    )
    assert [name for name, value in same.items() if not value] == ["pixel", "voxel"]


def test_without_depth_the_box_is_that_of_what_is_seen(scenes):
    batch = sample(scenes, [(1, 0)])
    centers = np.array(
        [
            (np.array(cell) + 0.5) * 0.02
            for cell, (_, inside) in surface(scenes[1]).items()
            if np.isin(inside, scenes[1].vertex_map(0)).any()
        ]
    )
    low, high = np.floor(centers.min(0)), np.ceil(centers.max(0))
    expected = reference.cells_in_box(surface(scenes[1]), 0.02, low, high)
    found = batch.voxels.numpy() + (low * 50).astype(int)
    assert set(map(tuple, found)) == expected
    assert batch.count.item() == len(centers)


@pytest.mark.parametrize("matches", RULES)
def test_a_view_that_sees_nothing_has_voxels_but_no_match(scenes, matches, monkeypatch):
    nothing = np.full((48, 64), -1, dtype=np.int32)
    monkeypatch.setattr(PreparedScene, "vertex_map", lambda self, i: nothing)
    sampler = PointSampler(scenes[:1], matches, 10)
    depth = np.stack([np.zeros((48, 64), "f4"), scenes[0].depth(1)])
    batch = sampler.batch(np.array([[0, 0], [0, 1]]), depth, (0,))
    assert batch.count[0] == 0
    assert (batch.view == 0).sum() > 0
    assert batch.voxels[batch.view == 0].max() < 50  # the metre around the nearest voxel
    assert batch.voxels.min() >= 0


def test_larger_voxels(scenes):
    batch = sample(scenes[:1], [(0, 0)], voxel_size=0.1)
    low, high = reference.box_of_depth(
        scenes[0].depth(0), scenes[0].camera(0).K, scenes[0].world_from_camera(0)
    )
    expected = reference.cells_in_box(surface(scenes[0], 0.1), 0.1, low, high)
    found = batch.voxels.numpy() + np.array(low) * 10
    assert set(map(tuple, found)) == expected


def test_moving_a_batch(scenes):
    batch = sample(scenes[:1], [(0, 0), (0, 1)])
    types = {name: value.dtype for name, value in batch._asdict().items()}
    assert types == {
        "voxels": torch.int32,
        "colors": torch.float32,
        "view": torch.int64,
        "pixel": torch.int64,
        "voxel": torch.int64,
        "count": torch.int64,
    }
    assert 0 <= batch.colors.min() < batch.colors.max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"matches": "nearest"},
            "matches='nearest' is unknown; choose one of: visible, projection",
        ),
        ({"samples": 0}, "samples=0: expected at least 1; 1024 is usual"),
        ({"voxel_size": 0.0}, "voxel_size=0.0: expected a positive number of metres"),
        (
            {"matches": "projection"},
            "matches='projection' compares depths, and scene b was .* use matches='visible'",
        ),
    ],
)
def test_bad_options_are_named(scenes, options, message):
    with pytest.raises(GeosetError, match=message):
        PointSampler(scenes, **options)
