"""Counts of what is in labelled data."""

import numpy as np

from geoset.data.label_summary import summarise
from geoset.data.labelled import open_labelled
from labelled_folders import write_coco, write_label_folder

IMAGE = np.zeros((4, 5, 3), np.uint8)
LABELS = np.array([[1] * 5, [1] * 5, [2, 2, 0, 0, 0], [9, 9, 9, 50, 50]], np.uint8)


def two_images(path):
    """Ten pixels of id 1, two of 2 and five unknown in one image; nothing but id 2 in the other."""
    files = {"a": (IMAGE, LABELS), "b": (IMAGE, np.full((4, 5), 2, np.uint8))}
    halves = np.array([1, 1, 2, 2], np.uint8)[:, None].repeat(5, axis=1)
    numbers = {"a": (LABELS > 0).astype(np.uint8), "b": halves}
    return write_label_folder(path, files, "1 wall\n2 chair\n3 lamp\n", instances=numbers)


def test_counts(tmp_path):
    folder = two_images(tmp_path / "mine")
    found = summarise(open_labelled(folder, "train"))
    assert (found.images, found.looked_at) == (2, 2)
    assert found.pixels == {"wall": 10, "chair": 22, "lamp": 0}
    assert found.ignored == 8
    assert found.unknown == {9: 3, 50: 2}
    assert found.instances == {"wall": 1, "chair": 3, "lamp": 0}
    assert found.absent == ["lamp"]


def test_text(tmp_path):
    folder = two_images(tmp_path / "mine")
    (folder / "labels/c.png").unlink(missing_ok=True)
    (folder / "images/c.png").write_bytes((folder / "images/a.png").read_bytes())
    assert summarise(open_labelled(folder, "train")).describe().splitlines() == [
        "mine train: 2 images",
        "pixels: wall 25.0%, chair 55.0%, lamp 0.0%; ignored 20.0%",
        "instances: wall 1, chair 3, lamp 0",
        "absent: lamp",
        "unknown ids, ignored: 9 (3 pixels), 50 (2 pixels)",
        "left out: 1 x image without a label image",
    ]


def test_a_part_of_the_images(tmp_path):
    """Spread evenly: of five images, the first, the middle and the last."""
    files = {str(k): (IMAGE, np.full((4, 5), k, np.uint8)) for k in range(1, 6)}
    write_label_folder(tmp_path / "mine", files, "".join(f"{k} c{k}\n" for k in range(1, 6)))
    found = summarise(open_labelled(tmp_path / "mine", "train"), most=3)
    assert [name for name, n in found.pixels.items() if n] == ["c1", "c3", "c5"]
    assert found.describe().startswith("mine train: 5 images, 3 of them looked at\n")


def test_instances_only(tmp_path):
    square = [[0, 0, 2, 0, 2, 2, 0, 2]]
    entries = [{"image_id": 1, "category_id": 5, "segmentation": square}] * 3
    write_coco(tmp_path, {1: IMAGE, 2: IMAGE}, entries, {5: "cup", 6: "fork"})
    found = summarise(open_labelled(tmp_path, "val"))
    assert found.pixels == {}
    assert found.absent == ["fork"]
    assert found.describe().splitlines()[1] == "instances: cup 3, fork 0"
