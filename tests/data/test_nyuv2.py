"""NYUv2: an HDF5 file with columns first, splits from 1, class maps, a border to crop."""

import numpy as np
import pytest
import scipy.io

from geoset.data.labelled import open_labelled
from geoset.data.nyu40 import NYU40
from geoset.data.nyuv2 import NYU13, THINGS
from geoset.errors import GeosetError
from labelled_folders import write_nyuv2

IMAGES = 5
TRAIN, TEST = [2, 5, 1], [3, 4]
# Raw label k is of class 1 + (k - 1) % 40, and that one of 1 + (class - 1) % 13: both maps are
# told apart from the identity and from each other.
TO_40 = [1 + (7 * k) % 40 for k in range(894)]
TO_13 = [1 + (5 * k) % 13 for k in range(40)]


def raw():
    """Images whose every pixel differs, labels in stripes, and instances."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 480, 640, 3), np.uint8)
    labels = np.zeros((IMAGES, 480, 640), int)
    labels[:] = np.arange(480)[:, None] + np.arange(640) // 16
    labels[2] += 300
    labels[:, 200:210] = 0
    instances = np.zeros_like(labels)
    instances[:, 100:300, 100:300] = 1
    instances[:, 100:300, 300:500] = 2
    return images, labels, instances


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_nyuv2(tmp_path_factory.mktemp("nyu"), *raw(), TRAIN, TEST, TO_40, TO_13)


def copy(folder, path):
    """A folder of links, in which a file can be replaced."""
    for file in folder.iterdir():
        (path / file.name).symlink_to(file)
    return path


def test_splits_count_from_one(folder):
    train, test = open_labelled(folder, "train"), open_labelled(folder, "test")
    assert [train.image_id(i) for i in range(3)] == ["0002", "0005", "0001"]
    assert [test.image_id(i) for i in range(2)] == ["0003", "0004"]
    assert open_labelled(folder, "val").numbers == test.numbers
    assert open_labelled(folder, "all").numbers == train.numbers + test.numbers
    assert np.array_equal(train.image(1), raw()[0][4, 44:471, 40:601])


def test_images_are_rows_first_and_cropped(folder):
    found = open_labelled(folder, "train")
    for i, number in enumerate(TRAIN):
        image = found.image(i)
        assert image.shape == (427, 561, 3)
        assert image.flags.c_contiguous
        assert np.array_equal(image, raw()[0][number - 1, 44:471, 40:601])


@pytest.mark.parametrize(("classes", "names"), [(13, NYU13), (40, NYU40)])
def test_semantic_classes(folder, classes, names):
    found = open_labelled(folder, "test", nyu_classes=classes)
    assert found.classes == names
    assert len(names) == classes
    assert found.name == f"NYUv2, {classes} classes, test"
    labels = raw()[1][2, 44:471, 40:601]
    expected = np.full(labels.shape, -1)
    for raw_label in np.unique(labels[(labels > 0) & (labels < 895)]):
        nyu40 = TO_40[raw_label - 1]
        expected[labels == raw_label] = (nyu40 if classes == 40 else TO_13[nyu40 - 1]) - 1
    assert found.semantic(0).dtype == np.int64
    assert np.array_equal(found.semantic(0), expected)
    assert (expected == -1).any()


def test_names_of_the_classes():
    assert (
        *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "painting"),
        *("sofa", "table", "tv", "wall", "window"),
    ) == NYU13
    assert len(set(NYU40)) == 40
    where = {"wall": 1, "otherfurniture": 39, "curtain": 16, "refrigerator": 24, "toilet": 33}
    assert {name: NYU40.index(name) + 1 for name in where} == where


def test_labels_beyond_the_map_are_counted(tmp_path):
    images, labels, instances = raw()
    labels[0, 50:52, 60:70] = 895
    labels[0, 0] = 900  # in the border
    write_nyuv2(tmp_path, images, labels, instances, [1], [2], TO_40, TO_13)
    found = open_labelled(tmp_path, "train")
    assert found.unknown_ids(0) == {895: 20}
    assert (found.semantic(0)[6:8, 20:30] == -1).all()


def test_instances_agree_in_raw_label_and_number(tmp_path):
    """Class 4 (chair) is raw labels 1 and 2: number 1 of each are two things of one class."""
    images, labels, instances = (part[:1] for part in raw())
    labels[:], instances[:] = 3, 0
    labels[:, 100:200, 100:200], instances[:, 100:200, 100:200] = 1, 1
    labels[:, 100:200, 200:300], instances[:, 100:200, 200:300] = 2, 1
    labels[:, 200:300, 100:200], instances[:, 200:300, 100:200] = 1, 2
    labels[:, 300:310, 100:110], instances[:, 300:310, 100:110] = 3, 1  # a wall: not counted
    labels[:, 0:10], instances[:, 0:10] = 1, 3  # in the border
    write_nyuv2(tmp_path, images, labels, instances, [1], [1], [4, 4, 12, *[7] * 891], range(1, 14))
    with pytest.raises(GeosetError, match="maps 13 classes, expected the 40"):
        open_labelled(tmp_path, "train")
    to_13 = [*range(1, 14), *[7] * 27]
    write_nyuv2(tmp_path, images, labels, instances, [1], [1], [4, 4, 12, *[7] * 891], to_13)
    found = open_labelled(tmp_path, "train")
    assert found.instance_classes == THINGS
    assert len(THINGS) == 9
    masks, classes, _ = found.instances(0)
    assert [THINGS[k] for k in classes] == ["chair"] * 3
    corners = sorted(np.argwhere(mask).min(axis=0).tolist() for mask in masks)
    assert corners == [[56, 60], [56, 160], [156, 60]]
    assert masks.sum(axis=(1, 2)).tolist() == [10000] * 3


def test_share_counts_images(folder):
    found = open_labelled(folder, "train", share=0.34)
    assert [found.image_id(i) for i in range(len(found))] == ["0002", "0005"]


def test_the_file_may_be_given_itself(folder):
    assert len(open_labelled(folder / "nyu_depth_v2_labeled.mat", "test")) == 2


@pytest.mark.parametrize("name", ["splits.mat", "classMapping40.mat", "class13Mapping.mat"])
def test_a_missing_file(folder, tmp_path, name):
    (copy(folder, tmp_path) / name).unlink()
    with pytest.raises(GeosetError, match=f"{name}: file is missing; NYUv2 needs it beside"):
        open_labelled(tmp_path, "train")


@pytest.mark.parametrize(
    "name", ["nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat", "class13Mapping.mat"]
)
@pytest.mark.parametrize("content", [b"", b"MATLAB nonsense" * 20, "first half"])
def test_a_corrupt_file(folder, tmp_path, name, content):
    whole = (folder / name).read_bytes()
    file = copy(folder, tmp_path) / name
    file.unlink()
    file.write_bytes(whole[: len(whole) // 2] if content == "first half" else content)
    with pytest.raises(GeosetError, match=rf"{name}: cannot be read \(.*; download it again"):
        open_labelled(tmp_path, "train")


def test_arrays_of_another_shape(tmp_path):
    images, labels, instances = (part[:, :100] for part in raw())
    write_nyuv2(tmp_path, images, labels, instances, TRAIN, TEST, TO_40, TO_13)
    with pytest.raises(GeosetError, match=r"shapes are .*640, 100\).*expected images \(N, 3, 640"):
        open_labelled(tmp_path, "train")


@pytest.mark.parametrize("train", [[0, 1], [1, 6]])
def test_splits_of_another_file(folder, tmp_path, train):
    (copy(folder, tmp_path) / "splits.mat").unlink()
    scipy.io.savemat(tmp_path / "splits.mat", {"trainNdxs": train, "testNdxs": [1]})
    message = f"splits.mat.*numbers {train[0]} to {train[1]}, expected 1 to 5"
    with pytest.raises(GeosetError, match=message):
        open_labelled(tmp_path, "train")


def test_a_map_to_other_classes(folder, tmp_path):
    (copy(folder, tmp_path) / "classMapping40.mat").unlink()
    scipy.io.savemat(tmp_path / "classMapping40.mat", {"mapClass": [1, 41]})
    with pytest.raises(GeosetError, match="mapClass is not a list of classes from 0 to 40"):
        open_labelled(tmp_path, "train")


def test_lists_and_class_counts_that_do_not_apply(folder, tmp_path):
    with pytest.raises(GeosetError, match=r"mine.txt: NYUv2 brings its own splits; leave the list"):
        open_labelled(folder, "train", split_file=tmp_path / "mine.txt")
    with pytest.raises(GeosetError, match="nyu_classes is 20, expected 13 or 40"):
        open_labelled(folder, "train", nyu_classes=20)
