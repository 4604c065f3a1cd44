"""Instances in COCO's JSON: polygons, plain and compressed run lengths."""

import json

import numpy as np
import pytest
from pycocotools.mask import encode

from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from labelled_folders import write_coco, write_png

IMAGES = {
    7: np.full((6, 8, 3), 10, np.uint8),
    3: np.full((5, 4, 3), 20, np.uint8),
    5: np.full((5, 4, 3), 30, np.uint8),
}
CATEGORIES = {18: "dog", 1: "person", 62: "chair"}
SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]  # pixels x 2 to 5, y 1 to 3
# Run lengths count pixels column by column, first those outside.
PLAIN = {"size": [6, 8], "counts": [6, 3, 3, 2, 34]}  # (y 0 to 2, x 1), (y 0 and 1, x 2)
# The same as PLAIN, as the COCO tools write it: each number in groups of five bits, and from the
# fourth on as a difference to the one before last: 6, 3, 3, -1, 31.
COMPRESSED = {"size": [6, 8], "counts": "633Oo0"}
ANNOTATIONS = [
    {"image_id": 7, "category_id": 62, "iscrowd": 0, "segmentation": [SQUARE]},
    {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": PLAIN},
    {"image_id": 3, "category_id": 18, "segmentation": [[0.0, 0, 1, 0, 1, 5, 0, 5]]},
    {"image_id": 7, "category_id": 18, "iscrowd": 0, "segmentation": COMPRESSED},
    {"image_id": 7, "category_id": 1, "iscrowd": 1, "segmentation": PLAIN},
    {"image_id": 7, "category_id": 99, "iscrowd": 0, "segmentation": [SQUARE]},
    {"image_id": "7", "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]},
]


@pytest.fixture
def folder(tmp_path):
    return write_coco(tmp_path, IMAGES, ANNOTATIONS, CATEGORIES)


def test_classes_and_images(folder):
    found = open_labelled(folder, "val")
    assert found.name == "instances_val2017 val"
    assert found.classes == ()
    assert found.instance_classes == ("person", "dog", "chair")
    assert [found.image_id(i) for i in range(3)] == ["7", "3", "5"]
    assert [found.image(i)[0, 0, 0] for i in range(3)] == [10, 20, 30]
    assert found.skipped == {
        "annotation of a crowd": 1,
        "annotation of a category that is not listed": 1,
        "annotation of an image that is not listed": 1,
    }


def test_all_is_the_only_split_that_is_there(folder):
    assert open_labelled(folder, "all").name == "instances_val2017 all"
    write_coco(folder, IMAGES, ANNOTATIONS, CATEGORIES, "train")
    with pytest.raises(GeosetError, match=r"A \.json file can be given itself"):
        open_labelled(folder, "all")


def test_no_image(folder):
    file = folder / "annotations/instances_val2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"images": []}))
    with pytest.raises(GeosetError, match="lists no image"):
        open_labelled(folder, "val")


def test_masks(folder):
    masks, labels, _ = open_labelled(folder, "val").instances(0)
    assert masks.dtype == bool
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 0, 1]
    square, runs = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    square[1:4, 2:6] = True
    runs[0:3, 1] = runs[0:2, 2] = True
    assert np.array_equal(masks, [square, runs, runs])


def test_run_lengths_are_those_of_the_coco_tools(tmp_path):
    """Long ones, negative differences and several characters a number among them."""
    mask = np.zeros((300, 400), bool)
    mask[10:290:3, 40:380] = mask[100:200, 5:399:7] = mask[:, -1] = True
    runs = encode(np.asfortranarray(mask, np.uint8))
    runs = {"size": runs["size"], "counts": runs["counts"].decode()}
    entry = {"image_id": 1, "category_id": 1, "segmentation": runs}
    write_coco(tmp_path, {1: np.zeros((300, 400, 3), np.uint8)}, [entry], CATEGORIES)
    assert np.array_equal(open_labelled(tmp_path, "val").instances(0).masks[0], mask)


def test_several_polygons_are_one_thing(tmp_path):
    outline = [[0, 0, 2, 0, 2, 2, 0, 2], SQUARE]
    entry = {"image_id": 7, "category_id": 1, "segmentation": outline}
    found = open_labelled(write_coco(tmp_path, IMAGES, [entry], CATEGORIES), "val")
    assert found.instances(0).masks.sum(axis=(1, 2)).tolist() == [4 + 12]


def test_an_image_without_annotations(folder):
    masks, labels, _ = open_labelled(folder, "val").instances(2)
    assert masks.shape == (0, 5, 4)
    assert labels.shape == (0,)


def test_share_counts_images(folder):
    assert len(open_labelled(folder, "val", share=0.5)) == 2


def test_other_places(folder):
    """A .json file itself; <split>.json beside images/; images beside the file."""
    file = folder / "annotations/instances_val2017.json"
    assert len(open_labelled(file, "train")) == 3
    file.rename(folder / "train.json")
    with pytest.raises(GeosetError, match=r"train.json: its first image, 0+7.png, is in none of"):
        open_labelled(folder, "train")
    (folder / "val2017").rename(folder / "images")
    assert open_labelled(folder, "train").image(0).shape == (6, 8, 3)


def test_there_is_no_class_for_every_pixel(folder):
    with pytest.raises(GeosetError, match="COCO data has instances only"):
        open_labelled(folder, "val").semantic(0)


def test_an_image_of_another_size(folder):
    write_png(folder / "val2017/000000000007.png", IMAGES[3])
    with pytest.raises(GeosetError, match=r"7.png: is 4x5, its annotations are for 8x6; expected"):
        open_labelled(folder, "val").image(0)


def test_a_split_that_is_not_there(folder):
    with pytest.raises(GeosetError, match=r"no annotations/instances_train\*.json and no train.j"):
        open_labelled(folder, "train")


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ([[0, 0, 1, 1]], "a polygon without three points"),
        ([[0, 0, 1, 0, 1, 1, 0]], "a polygon without three points"),
        ([], "a polygon without three points"),
        ({"size": [8, 6], "counts": [48]}, r"run lengths of size \[8, 6\]"),
        ({"size": [6, 8], "counts": [6, 3]}, "run lengths of 9 pixels"),
        ({"size": [6, 8], "counts": ""}, "run lengths of 0 pixels"),
        ({"size": [6, 8], "counts": [50, -2]}, "repeats|counts"),
    ],
)
def test_wrong_outlines(tmp_path, outline, message):
    entry = {"image_id": 7, "category_id": 1, "segmentation": outline}
    found = open_labelled(write_coco(tmp_path, IMAGES, [entry], CATEGORIES), "val")
    with pytest.raises(GeosetError, match=rf"annotation 100 of image 7 \(.*7.png\): {message}"):
        found.instances(0)


def test_no_instance_at_all(tmp_path):
    write_coco(tmp_path, IMAGES, ANNOTATIONS[4:], CATEGORIES)
    with pytest.raises(GeosetError, match=r"no instance in 3 images \(1 x annotation of a crowd"):
        open_labelled(tmp_path, "val")


def test_a_category_without_a_name(tmp_path):
    write_coco(tmp_path, IMAGES, ANNOTATIONS, {**CATEGORIES, 4: ""})
    with pytest.raises(GeosetError, match="category 4 is an empty class; give it a name"):
        open_labelled(tmp_path, "val")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"images": []}', '{"images": [{}], "annotations": [], "categories": []}']
)
def test_other_json(folder, content):
    file = folder / "annotations/instances_val2017.json"
    file.write_text(content)
    with pytest.raises(GeosetError, match=r"val2017.json: cannot be read as COCO instances \("):
        open_labelled(folder, "val")


def test_images_without_size(folder):
    file = folder / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    del content["images"][1]["height"]
    file.write_text(json.dumps(content))
    with pytest.raises(GeosetError, match=r"KeyError: 'height'\); expected images \(id, file_name"):
        open_labelled(folder, "val")
