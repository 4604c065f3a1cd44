"""Batches of pairs, from box rooms: one with holes, one without depth, one of another size."""

import shutil
import tarfile
from dataclasses import fields

import numpy as np
import pytest
import torch

from geoset.data.pairs import SCENE_STRIDE, PairBatch, PairBatches, batches_from
from geoset.errors import GeosetError
from geoset.geometry.camera import Camera
from geoset.prepare.groups import write_grouping
from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene, look_up, write_layer
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
    return [PreparedScene(folder / name) for name in options]


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """A scene of one frame."""
    folder = tmp_path_factory.mktemp("lone")
    scan = write_box_room(folder / "scans/lone", POSES[:1], CAMERA)
    prepare_scene(scan, folder, PrepareSettings(image_size=(48, 64)))
    return PreparedScene(folder / "lone")


def pairs_of(batch):
    """The (first frame, second frame) of each pair."""
    return list(zip(batch.frames[::2], batch.frames[1::2], strict=True))


def assert_same(batch, other):
    assert batch.frames == other.frames
    for name, value in tensors_of(batch).items():
        assert torch.equal(value, tensors_of(other)[name]), name


def tensors_of(batch):
    named = {field.name: getattr(batch, field.name) for field in fields(batch)}
    named |= batch.set_ids | batch.group_ids
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


def part_of(batch, first, last):
    """Views `first` to `last` - 1, whole pairs, as a batch of their own."""
    cut = {name: value[first:last] for name, value in tensors_of(batch).items()}
    ids = {name: cut.pop(name) for name in batch.set_ids}
    groups = {name: cut.pop(name) for name in batch.group_ids}
    cut["view_pairs"] = torch.arange(last - first).reshape(-1, 2)
    frames = batch.frames[first:last]
    return PairBatch(**cut, set_ids=ids, group_ids=groups, frames=frames)


def test_contents_are_those_of_the_prepared_scenes(scenes):
    batches = PairBatches(scenes, 3, SEED)
    stored = {scene.name: (i, scene) for i, scene in enumerate(scenes)}
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        assert len(batch) == 6
        assert batch.view_pairs.tolist() == [[0, 1], [2, 3], [4, 5]]
        ids = batch.set_ids["geometric"]
        assert ids.dtype == torch.int64
        assert batch.group_ids == {}
        for k, frame in enumerate(batch.frames):
            name, frame_id = frame.split("/")
            index, scene = stored[name]
            i = scene.frame_ids.index(frame_id)
            assert batch.views[k].tolist() == [index, i]
            np.testing.assert_array_equal(batch.images[k].permute(1, 2, 0), scene.image(i))
            depth = scene.depth(i) if scene.has_depth else np.zeros(batch.depth[k].shape)
            np.testing.assert_array_equal(batch.depth[k], depth)
            np.testing.assert_array_equal(batch.K[k], scene.camera(i).K)
            np.testing.assert_array_equal(batch.world_from_camera[k], scene.world_from_camera(i))
            labels = scene.set_map(i)
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
    ids, scene_index = batch.set_ids["geometric"], batch.views[:, 0]
    assert set(scene_index.tolist()) == {0, 1}
    assert set(torch.div(ids[ids >= 0], SCENE_STRIDE, rounding_mode="floor").tolist()) == {0, 1}
    in_a, in_b = (set(ids[scene_index == k].unique().tolist()) - {-1} for k in (0, 1))
    assert len(in_a) > 2
    assert len(in_b) > 2
    assert not in_a & in_b
    holes = ids[scene_index == 0][(..., *HOLE)]
    assert torch.equal(holes, torch.full_like(holes, -1))
    assert (ids >= -1).all()


def test_scenes_without_depth(scenes):
    batch = PairBatches(scenes[1:2], 4, SEED)[0]
    assert batch.depth.shape == (8, 48, 64)
    assert batch.depth.dtype == torch.float32
    assert not batch.depth.any()
    assert (batch.set_ids["geometric"] >= 0).all()  # rays alone decide, and a box has no way out


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


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_said_in_one_line(scenes, tmp_path, workers):
    scene = shutil.copytree(scenes[0].path, tmp_path / "a")
    frames = scene / "frames.tar"
    with tarfile.open(frames) as archive, frames.open("r+b") as file:
        for member in archive:
            if member.name.endswith(".jpg"):
                file.seek(member.offset_data)
                file.write(bytes(member.size))
    batches = PairBatches([PreparedScene(scene)], 1, SEED)
    with pytest.raises(GeosetError) as error:
        next(batches_from(batches, 0, 1, workers=workers))
    assert str(error.value).startswith(f"{frames}: image of frame ")
    assert "\n" not in str(error.value)


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
        sets = batch.set_ids["geometric"]
        assert batch.depth.shape[1:] == sets.shape[1:] == batch.images.shape[2:]
    assert shapes.count((32, 48)) == 2
    assert shapes.count((48, 64)) == 8
    assert shapes != sorted(shapes)


def test_fewer_pairs_than_a_batch_come_again(scenes):
    batches = PairBatches(scenes[2:], 16, SEED)
    assert batches.steps_per_epoch == 1
    pairs = pairs_of(batches[0])
    assert len(pairs) == 16
    assert sorted(pairs.count(pair) for pair in set(pairs)) == [2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (3, 1), (1, 3), (3, 2)])
def test_processes_and_parts_share_the_batches_of_one_process(scenes, ranks, accumulate):
    """6 pairs a step, however many take them, in however many parts."""
    whole = PairBatches(scenes, 6, SEED)
    parts = PairBatches(scenes, 6, SEED, parts=ranks * accumulate)
    assert parts.steps_per_epoch == whole.steps_per_epoch
    each = [list(batches_from(parts, 1, 4, rank, ranks)) for rank in range(ranks)]
    views = 12 // (ranks * accumulate)
    for step in range(3):
        together = [own[step * accumulate + k] for own in each for k in range(accumulate)]
        for k, part in enumerate(together):
            assert_same(part, part_of(whole[step + 1], k * views, (k + 1) * views))


def test_parts_that_are_not_equal(scenes):
    with pytest.raises(GeosetError) as error:
        PairBatches(scenes, 6, SEED, parts=4)
    assert str(error.value) == (
        "batch_pairs is 6, expected a multiple of 4: the devices, times the parts of a step "
        "(accumulate)"
    )


def test_held_out_frames_are_in_no_pair(scenes):
    """Of six, five and four frames, 0 and 3 are left out: 6 + 3 + 1 pairs of the others."""
    batches = PairBatches(scenes, 1, SEED, heldout_every=3)
    assert len(batches.pairs) == 10
    for step in range(10):
        assert (batches[step].views[:, 1] % 3 > 0).all()


def test_nothing_left_of_what_is_not_held_out(scenes):
    expected = "heldout_every=1 leaves out all 15 pairs of frames; choose a larger number"
    with pytest.raises(GeosetError, match=expected):
        PairBatches(scenes[:1], 1, SEED, heldout_every=1)


def test_finish_is_given_the_step(scenes):
    batches = PairBatches(scenes, 6, SEED, parts=2, finish=lambda batch, step: (step, batch))
    plain = PairBatches(scenes, 6, SEED, parts=2)
    for element in (0, 1, 4, 5):
        step, batch = batches[element]
        assert step == element // 2
        assert_same(batch, plain[element])


def test_a_batch_says_what_it_holds(scenes):
    batch = PairBatches(scenes[:1], 2, SEED)[0]
    assert batch.describe() == ", ".join(batch.frames)
    assert len(batch.frames) == 4
    assert all(frame in {f"a/{k:06d}" for k in range(6)} for frame in batch.frames)


def test_no_pair_at_all(lone):
    with pytest.raises(GeosetError) as error:
        PairBatches([lone], 4, SEED)
    assert str(error.value) == (
        "none of the 1 prepared scenes has a pair of overlapping frames of one size; prepare again "
        "with a smaller --frame-step or --min-overlap"
    )


def test_a_scene_without_pairs_beside_others(scenes, lone):
    batch = PairBatches([lone, scenes[0]], 4, SEED)[0]
    assert batch.views[:, 0].tolist() == [1] * 8


def test_a_layer_that_is_not_there(scenes):
    with pytest.raises(GeosetError, match="has no layer 'semantic'; available: geometric"):
        PairBatches(scenes, 4, SEED, layers=["semantic"])


@pytest.fixture
def layered(scenes, tmp_path):
    """Copies of the scenes a and b: a layer of every scope, `own` in b alone."""
    copies = []
    for scene in scenes[:2]:
        shutil.copytree(scene.path, tmp_path / scene.name)
        surface = scene.info["files"]["surface.ply"]["sha256"]
        labels = {
            "classes": ("global", np.arange(len(scene.vertices)) % 3 - 1),
            "own": ("scene", np.arange(len(scene.vertices)) % 5),
        }
        for name, (scope, values) in labels.items():
            if (scene.name, name) != ("a", "own"):
                write_layer(tmp_path / scene.name, name, values, surface, scope, {})
        copies.append(PreparedScene(tmp_path / scene.name))
    return copies


def test_layers_of_each_scope(layered):
    batches = PairBatches(layered, 25, SEED, layers=["classes", "own"])
    assert [layer.absent for layer in batches.layers] == [0, 1]
    batch = batches[0]
    assert list(batch.set_ids) == ["classes", "own"]
    assert set(batch.views[:, 0].tolist()) == {0, 1}
    for k, (index, i) in enumerate(batch.views.tolist()):
        classes = layered[index].set_map(i, "classes")
        np.testing.assert_array_equal(batch.set_ids["classes"][k], classes)  # the bare label
        if index == 0:
            assert (batch.set_ids["own"][k] == -1).all()
        else:
            own = layered[1].set_map(i, "own").astype(np.int64)
            expected = np.where(own < 0, -1, own + 2**32)
            np.testing.assert_array_equal(batch.set_ids["own"][k], expected)


def test_groups_are_those_of_the_sets_of_each_scene(scenes):
    used = scenes[:2]
    groups = [np.arange(scene.sets().max() + 1) % 3 + k for k, scene in enumerate(used)]
    write_grouping(used, "some", "geometric", groups, 4, {})
    batch = PairBatches(used, 25, SEED, groups="some")[0]
    assert set(batch.views[:, 0].tolist()) == {0, 1}
    for k, (index, i) in enumerate(batch.views.tolist()):
        expected = look_up(groups[index], used[index].set_map(i))
        np.testing.assert_array_equal(batch.group_ids["geometric"][k], expected)


def test_no_layer_at_all(scenes):
    batch = PairBatches(scenes, 4, SEED, layers=())[0]
    assert batch.set_ids == batch.group_ids == {}


def test_a_layer_of_two_scopes(layered):
    scene = layered[1]
    surface = scene.info["files"]["surface.ply"]["sha256"]
    write_layer(scene.path, "classes", np.array(scene.sets("classes")), surface, "scene", {})
    with pytest.raises(GeosetError, match="layer classes: is of scope global in some scenes and"):
        PairBatches(layered, 4, SEED, layers=["classes"])
