"""Batches of shuffled frames, of made-up scenes whose images are noise."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from geoset.data.frames import FrameBatches, draw_crop
from geoset.data.pairs import batches_from
from geoset.errors import GeosetError

CROP, SCALE = (32, 24), (0.2, 1.0)
WHOLE = (1.0, 1.0)  # of images of 4:3, where no other crop of that size fits


class Scene:
    """As much of a prepared scene as the batches ask for."""

    def __init__(self, name, frames, size=(48, 64)):
        self.name, self.frame_ids, self.size = name, [f"{k:06d}" for k in range(frames)], size

    def __len__(self):
        return len(self.frame_ids)

    def image(self, i):
        generator = np.random.default_rng((len(self.name), i))
        small = generator.integers(0, 256, (6, 8, 3), np.uint8)
        return np.resize(np.kron(small, np.ones((8, 8, 1), np.uint8)), (*self.size, 3))


SCENES = [Scene("a", 6), Scene("bb", 5), Scene("ccc", 4, size=(40, 32))]


def assert_same(batch, other):
    assert batch.frames == other.frames
    for a, b in zip(batch[:3], other[:3], strict=True):
        assert torch.equal(a, b)


def test_an_epoch_has_every_frame_once_and_no_two_orders_alike():
    """15 frames: five batches of three."""
    batches = FrameBatches(SCENES, 3, CROP, SCALE, 0)
    assert batches.steps_per_epoch == 5
    every = {f"{scene.name}/{frame}" for scene in SCENES for frame in scene.frame_ids}
    orders = []
    for epoch in range(3):
        steps = range(5 * epoch, 5 * epoch + 5)
        orders.append([frame for step in steps for frame in batches[step].frames])
        assert set(orders[-1]) == every
        assert len(orders[-1]) == 15
    assert len({tuple(order) for order in orders}) == 3


def test_frames_that_fill_no_whole_batch_wait():
    batches = FrameBatches(SCENES, 4, CROP, SCALE, 0)
    assert batches.steps_per_epoch == 3
    seen = Counter(frame for step in range(30) for frame in batches[step].frames)
    assert len(seen) == 15
    assert sum(seen.values()) == 120
    assert max(seen.values()) <= 10  # once an epoch at most


def test_fewer_frames_than_a_batch_come_again():
    batches = FrameBatches(SCENES[2:], 10, CROP, SCALE, 0)
    assert batches.steps_per_epoch == 1
    counts = Counter(batches[0].frames)
    assert sorted(counts.values()) == [2, 2, 3, 3]


def test_shapes():
    batch = FrameBatches(SCENES, 8, CROP, SCALE, 0)[0]  # of images of two sizes
    assert batch.queries.shape == batch.keys.shape == (8, 3, *CROP)
    assert batch.queries.dtype == batch.keys.dtype == torch.uint8
    assert len({frame.partition("/")[0] for frame in batch.frames}) == 3
    assert batch.describe() == ", ".join(batch.frames)


def test_each_key_is_of_the_frame_of_its_query_in_another_order():
    batch = FrameBatches(SCENES[:2], 11, CROP, WHOLE, 0)[0]
    keys = batch.keys[batch.key_of_query]
    for query, key in zip(batch.queries, keys, strict=True):
        assert torch.equal(query, key) or torch.equal(query, key.flip(-1))
    assert sorted(batch.key_of_query.tolist()) == list(range(11))
    assert batch.key_of_query.tolist() != list(range(11))
    assert len({query.numpy().tobytes() for query in batch.queries}) == 11


def test_queries_are_of_the_frames_that_they_are_said_to_be():
    batch = FrameBatches(SCENES[:2], 11, (48, 64), WHOLE, 0)[0]
    scenes = {scene.name: scene for scene in SCENES}
    for query, frame in zip(batch.queries, batch.frames, strict=True):
        name, frame_id = frame.split("/")
        image = scenes[name].image(int(frame_id)).transpose(2, 0, 1)
        assert np.array_equal(query, image) or np.array_equal(query.flip(-1), image)


def test_the_two_views_of_a_frame_differ():
    batch = FrameBatches(SCENES, 15, CROP, SCALE, 0)[0]
    pairs = zip(batch.queries, batch.keys[batch.key_of_query], strict=True)
    assert not any(torch.equal(query, key) for query, key in pairs)


def test_half_of_the_crops_are_mirrored():
    batches = FrameBatches([Scene("a", 1)], 200, CROP, WHOLE, 0)
    batch = batches[0]
    original = batches[0].queries[0]
    same = sum(torch.equal(query, original) for query in (*batch.queries, *batch.keys))
    assert 160 < same < 240


def test_an_element_depends_on_its_step_only():
    once, again = (FrameBatches(SCENES, 4, CROP, SCALE, 7) for _ in range(2))
    forward = [once[step] for step in range(7)]
    for step in reversed(range(7)):
        assert_same(again[step], forward[step])


def test_seeds_and_steps_differ():
    first = FrameBatches([Scene("a", 4)], 4, CROP, SCALE, 0)
    other = FrameBatches([Scene("a", 4)], 4, CROP, SCALE, 1)
    looks = {batch.queries.numpy().tobytes() for batch in (first[0], first[1], other[0])}
    assert len(looks) == 3


@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_share_the_batches_of_one(ranks):
    whole = FrameBatches(SCENES, 6, CROP, SCALE, 0)
    parts = FrameBatches(SCENES, 6, CROP, SCALE, 0, parts=ranks)
    each = [list(batches_from(parts, 1, 4, rank, ranks)) for rank in range(ranks)]
    for step in range(3):
        together = [own[step] for own in each]
        queries, keys, key_of_query = (torch.cat([part[k] for part in together]) for k in range(3))
        frames = [frame for part in together for frame in part.frames]
        assert_same(type(together[0])(queries, keys, key_of_query, frames), whole[step + 1])


def test_workers_change_nothing():
    batches = FrameBatches(SCENES, 4, CROP, SCALE, 0)
    for step, batch in enumerate(batches_from(batches, 2, 6, workers=2), 2):
        assert_same(batch, batches[step])


def test_keys_are_shuffled_anew_in_each_step():
    batches = FrameBatches(SCENES, 15, CROP, SCALE, 0)
    assert len({tuple(batches[step].key_of_query.tolist()) for step in range(5)}) == 5


def test_crops_reach_all_borders():
    boxes = [draw_crop((12, 16), (0.3, 0.6), np.random.default_rng(seed)) for seed in range(500)]
    top, left, height, width = np.array(boxes).T
    assert (top.min(), left.min()) == (0, 0)
    assert (top + height).max() == 12
    assert (left + width).max() == 16


def test_crops_are_resized_as_in_torchvision():
    scene = Scene("a", 1)
    batches = FrameBatches([scene], 1, CROP, SCALE, 0)
    image = torch.from_numpy(scene.image(0)).permute(2, 0, 1)
    for step in range(5):
        found = batches._crop(scene.image(0), np.random.default_rng(step))
        box = draw_crop((48, 64), SCALE, np.random.default_rng(step))
        expected = v2.functional.resized_crop(image, *box, list(CROP), antialias=True)
        best = min((found.int() - side.int()).abs().max() for side in (expected, expected.flip(-1)))
        assert best <= 1


def test_crops_are_drawn_as_in_torchvision():
    """Both fit into the image in all their tries, nearly: the means agree to 3 sigma."""
    torch.manual_seed(0)
    image = torch.empty(3, 480, 640)
    generator = np.random.default_rng(0)
    count = 4000
    ours = [draw_crop((480, 640), SCALE, generator) for _ in range(count)]
    theirs = [v2.RandomResizedCrop(32, SCALE).make_params([image]) for _ in range(count)]
    theirs = [(each["top"], each["left"], each["height"], each["width"]) for each in theirs]
    a, b = np.array(ours, float), np.array(theirs, float)
    tolerance = 3 * math.sqrt(2 / count) * a.std(axis=0)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < tolerance).all()
    assert (np.abs(a.std(axis=0) / b.std(axis=0) - 1) < 0.08).all()
    top, left, height, width = a.T
    assert (top + height <= 480).all()
    assert (left + width <= 640).all()
    assert (np.abs(np.log(width / height)) < math.log(4 / 3) + 0.02).all()
    assert (height * width > 0.199 * 480 * 640).all()


def test_a_crop_that_never_fits_is_the_whole_image():
    assert draw_crop((10, 200), (1.0, 1.0), np.random.default_rng(0)) == (0, 0, 10, 200)


def test_no_frame():
    with pytest.raises(GeosetError) as error:
        FrameBatches([Scene("a", 0)], 4, CROP, SCALE, 0)
    assert str(error.value) == (
        "none of the 1 prepared scenes has a frame; prepare again, and look into report.json for "
        "what was rejected"
    )


def test_parts_that_are_not_equal():
    with pytest.raises(GeosetError, match="batch is 6, expected a multiple of 4: the devices"):
        FrameBatches(SCENES, 6, CROP, SCALE, 0, parts=4)
