"""Batches of labelled images: what comes when, and what is done to it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from geoset.data.augment import gaussian_blur
from geoset.data.label_batches import (
    EvaluationBatches,
    InstanceBatches,
    SegmentationBatches,
    boxes_of,
    shard,
)
from geoset.data.label_resize import resized
from geoset.data.label_set import Instances
from geoset.data.pairs import batches_from
from geoset.errors import GeosetError
from reference.labelled import box_of

SIZE = (14, 16)


@dataclass
class Numbered:
    """`count` images of random pixels, whose labels and instances tell which image it is."""

    count: int
    sizes: tuple = (SIZE,)
    things: dict | None = None
    name: str = "numbered"
    classes: tuple = tuple("abcdefghijklmnop")
    instance_classes: tuple = ("x", "y", "z")

    def __len__(self):
        return self.count

    def image_id(self, i):
        return f"image {i}"

    def image(self, i):
        shape = self.sizes[i % len(self.sizes)]
        return np.random.default_rng(i).integers(0, 256, (*shape, 3), np.uint8)

    def semantic(self, i):
        labels = np.full(self.sizes[i % len(self.sizes)], i, np.int64)
        labels[:, 0] = -1
        return labels

    def instances(self, i):
        return self.things[i]


def which(labels):
    """The image of each row of a batch."""
    return labels.amax(dim=(1, 2)).tolist()


def stream(batches, steps):
    """The images of the first steps, one after the other."""
    return [image for step in range(steps) for image in which(batches[step][1])]


def test_images_and_labels():
    source = Numbered(5)
    images, labels = SegmentationBatches(source, 4, seed=1)[0]
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.shape == (4, 3, *SIZE)
    assert labels.shape == (4, *SIZE)
    for image, label, i in zip(images, labels, which(labels), strict=True):
        assert np.array_equal(image.permute(1, 2, 0), source.image(i))
        assert np.array_equal(label, source.semantic(i))


@pytest.mark.parametrize(("count", "batch"), [(12, 4), (10, 4), (5, 3), (3, 7), (1, 2)])
def test_every_image_comes_once_an_epoch(count, batch):
    """Also where epochs end inside batches: 10 images in batches of 4 are 4, 4, 2 + 2, 4, 4, ..."""
    batches = SegmentationBatches(Numbered(count), batch, seed=2)
    found = stream(batches, 4 * count)
    epochs = [found[k : k + count] for k in range(0, len(found) - count + 1, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert count < 3 or len({tuple(epoch) for epoch in epochs}) > 1
    assert batches.steps_per_epoch == -(-count // batch)


def test_a_batch_depends_on_data_batch_seed_and_step_only():
    options = {"augmentation": "flip_blur"}
    one = SegmentationBatches(Numbered(9), 4, seed=3, **options)
    for step in (7, 0, 7):
        other = SegmentationBatches(Numbered(9), 4, seed=3, **options)
        assert all(map(torch.equal, one[step], other[step]))
    assert stream(one, 3) != stream(SegmentationBatches(Numbered(9), 4, seed=4, **options), 3)


@pytest.mark.parametrize("augmentation", ["none", "flip_blur"])
def test_parts_make_the_whole(augmentation):
    whole = SegmentationBatches(Numbered(7), 6, seed=5, augmentation=augmentation)
    parts = SegmentationBatches(Numbered(7), 6, seed=5, parts=3, augmentation=augmentation)
    for step in (0, 1, 2):
        images, labels = zip(*(parts[3 * step + part] for part in range(3)), strict=True)
        assert torch.equal(torch.cat(images), whole[step][0])
        assert torch.equal(torch.cat(labels), whole[step][1])


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_the_parts_of_each_step(workers):
    batches = SegmentationBatches(Numbered(7), 4, seed=6, parts=4, augmentation="flip_blur")
    by_rank = [list(batches_from(batches, 1, 4, rank, 2, workers)) for rank in (0, 1)]
    for step in (1, 2, 3):
        ours = [part for rank in by_rank for part in rank[2 * (step - 1) :][:2]]
        assert torch.equal(torch.cat([images for images, _ in ours]), _whole(batches, step))


def _whole(batches, step):
    return torch.cat([batches[4 * step + part][0] for part in range(4)])


def test_flips_and_blurs_are_those_drawn():
    """Each image is as it was or mirrored, sharp or blurred; labels are mirrored with it."""
    source, seen = Numbered(4), set()
    batches = SegmentationBatches(source, 4, seed=7, augmentation="flip_blur")
    for step in range(12):
        for position, (image, label) in enumerate(zip(*batches[step], strict=True)):
            draws = np.random.default_rng((7, step, position, 1))
            i = int(label.max())
            expected = torch.from_numpy(source.image(i)).permute(2, 0, 1)
            is_flipped = draws.random() < 0.5
            if is_flipped:
                expected = expected.flip(-1)
            assert (label[:, -1 if is_flipped else 0] == -1).all()
            is_blurred = draws.random() < 0.5
            if is_blurred:
                sigma = torch.tensor([draws.uniform(0.1, 2.0)])
                expected = gaussian_blur(expected[None].float(), sigma, 6)[0].round()
            assert torch.equal(image.float(), expected.float())
            seen.add((is_flipped, is_blurred))
    assert len(seen) == 4


def test_size():
    source = Numbered(4, sizes=((28, 32), (40, 70)))
    images, labels = SegmentationBatches(source, 4, seed=8, size=SIZE)[0]
    assert images.shape == (4, 3, *SIZE)
    i = which(labels)[0]
    assert np.array_equal(images[0].permute(1, 2, 0), resized(source, SIZE).image(i))


def test_several_sizes_make_no_batch():
    batches = SegmentationBatches(Numbered(2, sizes=(SIZE, (20, 10))), 2, seed=0)
    message = r"image image \d is \d+x\d+, image \d is \d+x\d+; expected one size in a batch: give"
    with pytest.raises(GeosetError, match=message):
        batches[0]


@pytest.mark.parametrize(("batch", "parts"), [(0, 1), (4, 3)])
def test_wrong_batches(batch, parts):
    with pytest.raises(GeosetError, match=f"batch is {batch}, expected a multiple of {parts}"):
        SegmentationBatches(Numbered(4), batch, seed=0, parts=parts)


def test_no_images_and_no_such_augmentation():
    with pytest.raises(GeosetError, match="numbered: has no image; choose another split or share"):
        SegmentationBatches(Numbered(0), 4, seed=0)
    with pytest.raises(GeosetError, match="augmentation is 'crop', expected none or flip_blur"):
        SegmentationBatches(Numbered(4), 4, seed=0, augmentation="crop")


@pytest.mark.parametrize("count", [0, 1, 2, 7, 12, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_evaluation_sees_every_image_once(count, ranks):
    by_rank = [EvaluationBatches(Numbered(count), 2, rank, ranks) for rank in range(ranks)]
    seen = [i for batches in by_rank for _, labels in batches for i in which(labels)]
    assert sorted(seen) == list(range(count))
    assert sorted(i for rank in range(ranks) for i in shard(count, rank, ranks)) == sorted(seen)
    sizes = [len(batches) for batches in by_rank]
    assert max(sizes) - min(sizes) <= 1


def test_evaluation_is_in_order_and_resized():
    batches = EvaluationBatches(Numbered(5, sizes=((28, 32),)), 2, size=SIZE)
    loaded = list(DataLoader(batches, batch_size=None, num_workers=2))
    assert [which(labels) for _, labels in loaded] == [[0, 1], [2, 3], [4]]
    assert loaded[2][0].shape == (1, 3, *SIZE)


def two_squares(i):
    """A thing of 6 pixels and one of 4 + i in an image, of classes 0 and 2."""
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 2:4, 3:6] = True
    masks[1, 9, 2 : 6 + i] = True
    return Instances(masks, np.array([0, 2]))


def test_instances():
    source = Numbered(3, things={i: two_squares(i) for i in range(3)})
    batches = InstanceBatches(source, 3, seed=0, flip=False)
    images, targets = batches[0]
    assert isinstance(images, list)
    for i, image, target in zip(batches.images_of_step(0), images, targets, strict=True):
        assert np.array_equal(image.permute(1, 2, 0), source.image(i))
        assert image.dtype == target["masks"].dtype == torch.uint8
        assert target["labels"].dtype == torch.int64
        assert target["labels"].tolist() == [1, 3]
        assert np.array_equal(target["masks"], two_squares(i).masks)
        assert target["boxes"].dtype == torch.float32
        assert target["boxes"].tolist() == [[3, 2, 6, 4], [2, 9, 6 + i, 10]]


def test_flipped_instances():
    source = Numbered(2, things={i: two_squares(i) for i in range(2)})
    batches = InstanceBatches(source, 2, seed=1)
    flips = []
    for step in range(10):
        for position, (image, target) in enumerate(zip(*batches[step], strict=True)):
            i = batches.images_of_step(step)[position]
            flips.append(np.random.default_rng((1, step, position, 1)).random() < 0.5)
            turn = np.s_[:, ::-1] if flips[-1] else np.s_[:]
            assert np.array_equal(image.permute(1, 2, 0), source.image(i)[turn])
            masks = two_squares(i).masks
            assert np.array_equal(target["masks"], masks[:, :, ::-1] if flips[-1] else masks)
            x0, _, x1, _ = target["boxes"][0].tolist()
            assert (x0, x1) == ((10, 13) if flips[-1] else (3, 6))
    assert len(set(flips)) == 2


def test_small_instances_and_empty_images_are_left_out():
    """Of 4, 5, 6, ... pixels and always one of 6; image 3 has none, image 4 only a small one."""
    things = {i: two_squares(i) for i in range(4)}
    things[3] = Instances(np.zeros((0, *SIZE), bool), np.zeros(0, np.int64))
    things[4] = Instances(two_squares(0).masks[1:], np.array([1]))
    batches = InstanceBatches(Numbered(5, things=things), 3, seed=0, min_pixels=6, flip=False)
    assert batches.dropped == {
        "instance of fewer than 6 pixels": 3,
        "image without an instance": 2,
    }
    assert batches.steps_per_epoch == 1
    kept = {}
    for _ in range(2):
        for i, target in zip(batches.images_of_step(0), batches[0][1], strict=True):
            kept[int(i)] = target["labels"].tolist()
    assert kept == {0: [1], 1: [1], 2: [1, 3]}


def test_who_watches_sees_all_images_and_changes_nothing():
    source = Numbered(3, things={i: two_squares(i) for i in range(3)})
    seen = []

    def watch(areas):
        for of_image in areas:
            seen.append(of_image.tolist())
            yield of_image

    batches = InstanceBatches(source, 3, seed=0, min_pixels=5, watch=watch)
    assert seen == [[6, 4], [6, 5], [6, 6]]
    assert batches.dropped == InstanceBatches(source, 3, seed=0, min_pixels=5).dropped


def test_pixels_are_counted_at_the_size_of_the_label_image():
    large = two_squares(0)._replace(areas=np.array([5, 50]))
    batches = InstanceBatches(Numbered(1, things={0: large}), 1, seed=0, min_pixels=6)
    assert batches[0][1][0]["labels"].tolist() == [3]


def test_what_falls_between_the_pixels_of_the_image_is_left_out():
    things = two_squares(0)
    masks = things.masks.copy()
    masks[0] = False
    lost = things._replace(masks=masks, areas=np.array([50, 50]))
    batches = InstanceBatches(Numbered(1, things={0: lost}), 1, seed=0, min_pixels=6)
    assert batches[0][1][0]["labels"].tolist() == [3]


def test_instance_parts_make_the_whole():
    source = Numbered(5, things={i: two_squares(i) for i in range(5)})
    whole = InstanceBatches(source, 4, seed=2)
    parts = InstanceBatches(source, 4, seed=2, parts=2)
    for step in range(3):
        images = [image for part in (0, 1) for image in parts[2 * step + part][0]]
        assert all(map(torch.equal, images, whole[step][0]))


def test_nothing_is_left():
    source = Numbered(2, things={i: two_squares(i) for i in range(2)})
    message = r"none of the 2 images has an instance of 9 pixels or more \(4 are smaller\); give "
    with pytest.raises(GeosetError, match=message):
        InstanceBatches(source, 2, seed=0, min_pixels=9)
    with pytest.raises(GeosetError, match="numbered: has no instance classes; expected data with"):
        InstanceBatches(Numbered(2, instance_classes=()), 2, seed=0)


def test_boxes_touch_the_outermost_pixels():
    masks = np.random.default_rng(0).random((20, 6, 9)) < 0.06
    masks[:, 3, 4] = True
    assert boxes_of(torch.from_numpy(masks)).tolist() == [box_of(mask) for mask in masks]
    assert boxes_of(torch.zeros(0, 6, 9)).shape == (0, 4)
