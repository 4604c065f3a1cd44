"""Batches of pairs, from box rooms: one with holes, one without depth, one of another size."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from geoset.data.pairs import SCENE_STRIDE, PairBatches, batches_from
from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from reference.box_room import look_at, see, write_box_room

CAMERA = Camera(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), 64, 48)
POSES = [look_at((0.6 + 0.05 * k, 0.5, 0.6), (2.0, 1.2 - 0.1 * k, 0.4)) for k in range(6)]
HOLE = np.s_[10:20, 30:50]
SEED = 3


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """All pairs of six views with a hole, of five without depth, of four of another size."""
    folder = tmp_path_factory.mktemp("boxes")
    depths = [see(CAMERA, pose).depth for pose in POSES]
    for depth in depths:
        depth[HOLE] = 0
    options = {
        "a": ((48, 64), {"depths": depths}),
        "b": ((48, 64), {"depths": None, "poses": POSES[:5]}),
        "c": ((32, 48), {"poses": POSES[:4]}),
    }
    for name, (size, scan) in options.items():
        scan = {"poses": POSES, "camera": CAMERA} | scan
        path = write_box_room(folder / "scans" / name, **scan)
        prepare_scene(path, folder, PrepareSettings(image_size=size, min_overlap=0))
    return [folder / name for name in options]


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """A scene of one frame."""
    folder = tmp_path_factory.mktemp("lone")
    scan = write_box_room(folder / "scans/lone", POSES[:1], CAMERA)
    prepare_scene(scan, folder, PrepareSettings(image_size=(48, 64)))
    return folder / "lone"


def pairs_of(batch):
    """The (first frame, second frame) of each pair."""
    return list(zip(batch.frames[::2], batch.frames[1::2], strict=True))


def assert_same(batch, other):
    assert batch.frames == other.frames
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(other, field.name)), field.name


def test_contents_are_those_of_the_prepared_scenes(scenes):
    batches = PairBatches(scenes, 3, SEED)
    stored = {scene.name: (i, scene) for i, scene in enumerate(map(PreparedScene, scenes))}
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        assert len(batch) == 6
        assert batch.view_pairs.tolist() == [[0, 1], [2, 3], [4, 5]]
        ids = batch.set_ids()
        assert ids.dtype == torch.int64
        for k, frame in enumerate(batch.frames):
            name, frame_id = frame.split("/")
            index, scene = stored[name]
            i = scene.frame_ids.index(frame_id)
            assert batch.scene_index[k] == index
            np.testing.assert_array_equal(batch.images[k].permute(1, 2, 0), scene.image(i))
            depth = scene.depth(i) if scene.has_depth else np.zeros(batch.depth[k].shape)
            np.testing.assert_array_equal(batch.depth[k], depth)
            np.testing.assert_array_equal(batch.K[k], scene.camera(i).K)
            np.testing.assert_array_equal(batch.world_from_camera[k], scene.world_from_camera(i))
            labels = scene.set_map(i)
            np.testing.assert_array_equal(batch.labels[k], labels)
            expected = np.where(labels < 0, -1, labels.astype(np.int64) + index * 2**32)
            np.testing.assert_array_equal(ids[k], expected)
        for first, second in pairs_of(batch):
            name = first.split("/")[0]
            _, scene = stored[name]
            pair = [scene.frame_ids.index(frame.split("/")[1]) for frame in (first, second)]
            assert second.startswith(f"{name}/")
            assert pair in scene.pairs.tolist()


def test_ids_are_unique_over_scenes_and_holes_have_none(scenes):
    batch = PairBatches(scenes[:2], 25, SEED)[0]  # all 15 + 10 pairs
    ids = batch.set_ids()
    assert set(batch.scene_index.tolist()) == {0, 1}
    assert set(torch.div(ids[ids >= 0], SCENE_STRIDE, rounding_mode="floor").tolist()) == {0, 1}
    in_a, in_b = (set(ids[batch.scene_index == k].unique().tolist()) - {-1} for k in (0, 1))
    assert len(in_a) > 2
    assert len(in_b) > 2
    assert not in_a & in_b
    holes = ids[batch.scene_index == 0][(..., *HOLE)]
    assert torch.equal(holes, torch.full_like(holes, -1))
    assert (ids >= -1).all()


def test_scenes_without_depth(scenes):
    batch = PairBatches(scenes[1:2], 4, SEED)[0]
    assert batch.depth.shape == (8, 48, 64)
    assert batch.depth.dtype == torch.float32
    assert not batch.depth.any()
    assert (batch.labels >= 0).all()  # rays alone decide, and a box has no way out


def test_an_element_depends_on_its_step_only(scenes):
    once, again = PairBatches(scenes, 4, SEED), PairBatches(scenes, 4, SEED)
    steps = range(2 * once.steps_per_epoch + 1)
    forward = [once[step] for step in steps]
    for step in reversed(steps):
        assert_same(again[step], forward[step])
    assert_same(once[1], forward[1])


def test_the_seed_changes_the_order(scenes):
    orders = {
        tuple(batches[step].frames[0] for step in range(5))
        for batches in (PairBatches(scenes, 2, 0), PairBatches(scenes, 2, 1))
    }
    assert len(orders) == 2


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(scenes, workers):
    batches = PairBatches(scenes, 4, SEED)
    found = list(batches_from(batches, 2, 9, workers=workers))
    assert len(found) == 7
    for step, batch in zip(range(2, 9), found, strict=True):
        assert_same(batch, batches[step])


def test_an_epoch_has_every_pair_once_and_no_two_orders_alike(scenes):
    """15 + 10 pairs of one size, and 6 of another: 5 + 1 batches of five, one pair waiting."""
    batches = PairBatches(scenes, 5, SEED)
    assert batches.steps_per_epoch == 6
    orders = []
    for epoch in range(3):
        steps = range(6 * epoch, 6 * epoch + 6)
        orders.append([pair for step in steps for pair in pairs_of(batches[step])])
        assert len(set(orders[-1])) == 30
        assert sum(pair[0].startswith("c/") for pair in orders[-1]) == 5
    assert set(orders[0][:25]) != set(orders[1][:25])
    assert len({tuple(order) for order in orders}) == 3


def test_a_pair_that_waits_comes_in_another_epoch(scenes):
    batches = PairBatches(scenes[2:], 5, SEED)  # 6 pairs
    assert batches.steps_per_epoch == 1
    assert len({pair for step in range(20) for pair in pairs_of(batches[step])}) == 6


def test_sizes_do_not_mix(scenes):
    batches = PairBatches(scenes, 3, SEED)
    shapes = []
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        of_c = [frame.startswith("c/") for frame in batch.frames]
        assert all(of_c) or not any(of_c)
        shapes.append(tuple(batch.images.shape[2:]))
        assert batch.depth.shape[1:] == batch.labels.shape[1:] == batch.images.shape[2:]
    assert shapes.count((32, 48)) == 2
    assert shapes.count((48, 64)) == 8
    assert shapes != sorted(shapes)


def test_fewer_pairs_than_a_batch_come_again(scenes):
    batches = PairBatches(scenes[2:], 16, SEED)
    assert batches.steps_per_epoch == 1
    pairs = pairs_of(batches[0])
    assert len(pairs) == 16
    assert sorted(pairs.count(pair) for pair in set(pairs)) == [2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_share_one_sequence(scenes, ranks):
    batches = PairBatches(scenes, 3, SEED)
    parts = [list(batches_from(batches, 1, 4, rank, ranks)) for rank in range(ranks)]
    in_turn = [batch for together in zip(*parts, strict=True) for batch in together]
    assert len(in_turn) == 3 * ranks
    for step, batch in zip(range(ranks, 4 * ranks), in_turn, strict=True):
        assert_same(batch, batches[step])


def test_a_batch_says_what_it_holds(scenes):
    batch = PairBatches(scenes[:1], 2, SEED)[0]
    assert batch.describe() == ", ".join(batch.frames)
    assert len(batch.frames) == 4
    assert all(frame in {f"a/{k:06d}" for k in range(6)} for frame in batch.frames)


def test_moving_a_batch(scenes):
    batch = PairBatches(scenes[:1], 2, SEED)[0]
    assert_same(batch.to(torch.device("cpu")), batch)
    moved = batch.to(torch.device("meta"))
    tensors = [getattr(moved, field.name) for field in fields(moved) if field.name != "frames"]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 7
    assert moved.frames == batch.frames


def test_no_pair_at_all(lone):
    with pytest.raises(GeosetError) as error:
        PairBatches([lone], 4, SEED)
    assert str(error.value) == (
        "none of the 1 prepared scenes has a pair of overlapping frames; prepare again with a "
        "smaller --frame-step or --min-overlap"
    )


def test_a_scene_without_pairs_beside_others(scenes, lone):
    batch = PairBatches([lone, scenes[0]], 4, SEED)[0]
    assert batch.scene_index.tolist() == [1] * 8


def test_a_layer_that_is_not_there(scenes):
    with pytest.raises(GeosetError, match="has no layer 'semantic'; available: geometric"):
        PairBatches(scenes, 4, SEED, layer="semantic")
