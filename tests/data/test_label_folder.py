"""Any folder of images and labels, with a list of classes."""

import numpy as np
import pytest

from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from labelled_folders import write_label_folder, write_png
from reference.labelled import instances_of, pixels_of

rng = np.random.default_rng(1)
IMAGE = rng.integers(0, 256, (6, 8, 3), np.uint8)
LABELS = rng.integers(0, 4, (6, 8), np.uint8)
NAMES = "wall\nchair\noffice desk\n"
FILES = dict.fromkeys(("c", "a", "kitchen/b.1"), (IMAGE, LABELS))


def ids(labelled):
    return [labelled.image_id(i) for i in range(len(labelled))]


def test_names_by_line(tmp_path):
    """Line k is id k; 0 and 255 are no label."""
    labels = LABELS.copy()
    labels[0, 0] = 255
    folder = write_label_folder(tmp_path / "flat", {"a": (IMAGE, labels)}, NAMES)
    found = open_labelled(folder, "train")
    assert found.name == "flat train"
    assert found.classes == ("wall", "chair", "office desk")
    assert found.instance_classes == ()
    assert np.array_equal(found.image(0), IMAGE)
    expected = LABELS.astype(int) - 1
    expected[0, 0] = -1
    assert np.array_equal(found.semantic(0), expected)
    assert found.unknown_ids(0) == {}


def test_ids_and_names(tmp_path):
    """Ids in any order, 0 and 16 bits among them; others are counted."""
    labels = np.array([[0, 7, 2000], [1, 1, 255]], np.uint16)
    write_label_folder(tmp_path, {"a": (IMAGE[:2, :3], labels)}, "7 wall\n0  a chair\n2000 desk\n")
    found = open_labelled(tmp_path, "train")
    assert found.classes == ("wall", "a chair", "desk")
    assert found.semantic(0).tolist() == [[1, 0, 2], [-1, -1, -1]]
    assert found.unknown_ids(0) == {1: 2}


def test_splits(tmp_path):
    lists = {"train": ["kitchen/b.1.png", "c"], "val": ["a"]}
    write_label_folder(tmp_path, FILES, NAMES, lists=lists)
    assert ids(open_labelled(tmp_path, "train")) == ["kitchen/b.1", "c"]
    assert ids(open_labelled(tmp_path, "val")) == ["a"]
    assert ids(open_labelled(tmp_path, "all")) == ["a", "c", "kitchen/b.1"]
    assert ids(open_labelled(tmp_path, "train", share=0.5)) == ["kitchen/b.1"]
    own = tmp_path / "own.txt"
    own.write_text("c")
    assert ids(open_labelled(tmp_path, "train", split_file=own)) == ["c"]


def test_without_lists_all_is_for_training(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES)
    assert len(open_labelled(tmp_path, "train")) == 3
    with pytest.raises(GeosetError, match=r"val.txt: file is missing, which lists .* 'all'"):
        open_labelled(tmp_path, "val")


def test_one_list_is_missing(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES, lists={"val": ["a"]})
    with pytest.raises(GeosetError, match=r"train.txt: file is missing, which lists the images"):
        open_labelled(tmp_path, "train")


def test_a_list_with_other_names(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES, lists={"val": ["a", "z", "y.png"]})
    with pytest.raises(GeosetError, match=r"val.txt: names y \(2 of 3 names\), which is not in"):
        open_labelled(tmp_path, "val")


def test_an_empty_list(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES, lists={"val": []})
    with pytest.raises(GeosetError, match=r"val.txt: is empty, expected one name a line"):
        open_labelled(tmp_path, "val")


def test_images_without_labels_are_counted(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES)
    (tmp_path / "labels/a.png").unlink()
    found = open_labelled(tmp_path, "train")
    assert ids(found) == ["c", "kitchen/b.1"]
    assert found.skipped == {"image without a label image": 1}


@pytest.mark.parametrize("seed", range(3))
def test_instances_agree_in_label_and_number(tmp_path, seed):
    numbers = np.random.default_rng(seed).integers(0, 3, (6, 8), np.uint8)
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS)}, NAMES, instances={"a": numbers})
    found = open_labelled(tmp_path, "train")
    assert found.instance_classes == found.classes
    expected = instances_of(LABELS.astype(int) - 1, numbers)
    assert pixels_of(found.instances(0)) == sorted(
        (label, sorted(pixels)) for (_, label), pixels in expected.items()
    )


def test_an_image_without_instances(tmp_path):
    numbers = {"a": np.zeros((6, 8), np.uint8)}
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS)}, NAMES, instances=numbers)
    found = open_labelled(tmp_path, "train").instances(0)
    assert found.masks.shape == (0, 6, 8)
    assert found.labels.shape == (0,)


def test_instances_of_another_size(tmp_path):
    numbers = {"a": np.zeros((3, 4), np.uint8)}
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS)}, NAMES, instances=numbers)
    with pytest.raises(GeosetError, match=r"a.png: is 4x3, its label image 8x6, expected one size"):
        open_labelled(tmp_path, "train").instances(0)


def test_a_label_larger_than_the_class_list(tmp_path):
    files = {"a": (IMAGE, LABELS), "b": (IMAGE, np.where(LABELS == 3, 17, LABELS))}
    write_label_folder(tmp_path, files, NAMES)
    found = open_labelled(tmp_path, "train")
    message = (
        r"labels/b.png: holds label 17, larger than the class list: .*classes.txt has 3 lines, so "
        "labels are 1 to 3, and 0 or 255 for none. Add the missing names"
    )
    with pytest.raises(GeosetError, match=message):
        found.semantic(1)


def test_sizes_that_do_not_fit(tmp_path):
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS[:, :6])}, NAMES)
    with pytest.raises(GeosetError, match=r"labels/a.png: is 6x6, its image .*a.png is 8x6; exp"):
        open_labelled(tmp_path, "train")


def test_no_labelled_pixel(tmp_path):
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS * 0)}, NAMES)
    with pytest.raises(
        GeosetError, match=r"no labelled pixel in any of the 1 .*only those that mea"
    ):
        open_labelled(tmp_path, "train")


def test_a_map_that_covers_nothing(tmp_path):
    write_label_folder(tmp_path, {"a": (IMAGE, LABELS + 50)}, "1 wall\n2 chair\n")
    message = (
        "no labelled pixel in any of the 1 label images; their ids are 50, 51, 52, 53. Expected "
        "ids of the 2 classes wall, ..., chair; check the list of classes"
    )
    with pytest.raises(GeosetError, match=message):
        open_labelled(tmp_path, "train")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("wall\n\nchair\n", "line 2 is '', an empty class; expected the name of a class"),
        ("", "line 1 is '', an empty class"),
        ("1 wall\n2\n", "line 2 is '2', an empty class; expected 'id name', as in line 1"),
        ("1 wall\nchair\n", "line 2 is 'chair', an empty class; expected 'id name'"),
        ("wall\nwall\n", "has the name 'wall' twice"),
        ("1 wall\n1 chair\n", "has the id '1' twice"),
        ("70000 wall\n", "has the id 70000, expected at most 65535"),
    ],
)
def test_wrong_lists_of_classes(tmp_path, classes, message):
    write_label_folder(tmp_path, FILES, classes)
    with pytest.raises(GeosetError, match=f"classes.txt: {message}"):
        open_labelled(tmp_path, "train")


def test_a_missing_list_of_classes(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(GeosetError, match=r"classes.txt: cannot be read .*expected the classes"):
        open_labelled(tmp_path, "train")


def test_two_images_of_one_name(tmp_path):
    write_label_folder(tmp_path, FILES, NAMES)
    write_png(tmp_path / "images/a.jpg", IMAGE)
    with pytest.raises(GeosetError, match=r"images/a\.(jpg|png): is there with another suffix"):
        open_labelled(tmp_path, "train")
