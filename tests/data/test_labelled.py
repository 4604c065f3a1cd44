"""Opening labelled data of any layout, and what all of it keeps to."""

import pickle

import numpy as np
import pytest

from geoset.data.labelled import open_labelled
from geoset.errors import GeosetError
from geoset.scans.rooms import RoomSettings, write_room
from labelled_folders import write_coco, write_label_folder, write_nyuv2, write_scene


def write_rooms(path):
    write_room(path / "a", 0, RoomSettings(frames=2, height=24, width=32))


def write_scannet(path):
    labels = np.repeat([0, 1, 5, 50], 6)[:, None].repeat(32, axis=1)
    scene = path / "scannet_frames_25k/scene0000_00"
    write_scene(scene, (0, 100), np.zeros((24, 32, 3), np.uint8), labels, labels * 1000 + 1)


def write_nyu(path):
    labels = np.zeros((2, 480, 640), int)
    labels[:, 100:200] = 4
    images = np.zeros((2, 480, 640, 3), np.uint8)
    write_nyuv2(path, images, labels, labels > 0, [1], [2], range(1, 41), [4] * 40)


def write_folder(path):
    labels = np.repeat([1, 2], 6)[:, None].repeat(16, axis=1).astype(np.uint8)
    files = dict.fromkeys("ab", (np.zeros((12, 16, 3), np.uint8), labels))
    write_label_folder(path, files, "wall\nchair\n", instances={"a": labels, "b": labels})


def write_coco_train(path):
    outline = [[0, 0, 2, 0, 2, 2, 0, 2]]
    entry = {"image_id": 1, "category_id": 5, "segmentation": outline}
    images = {k: np.zeros((5, 6, 3), np.uint8) for k in (1, 2)}
    write_coco(path, images, [entry], {5: "cup"}, split="train2017")


LAYOUTS = {
    "rooms": (write_rooms, "all"),
    "ScanNet": (write_scannet, "all"),
    "NYUv2": (write_nyu, "all"),
    "label folder": (write_folder, "all"),
    "COCO": (write_coco_train, "train"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_every_layout_keeps_to(tmp_path, layout):
    write, split = LAYOUTS[layout]
    write(tmp_path)
    found = pickle.loads(pickle.dumps(open_labelled(tmp_path, split)))  # workers may get a copy
    assert len(found) == 2
    assert len({found.image_id(i) for i in range(2)}) == 2
    assert isinstance(found.name, str)
    for i in range(2):
        image = found.image(i)
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        if found.classes:
            labels = found.semantic(i)
            assert labels.dtype == np.int64
            assert labels.shape == image.shape[:2]
            assert -1 <= labels.min() <= labels.max() < len(found.classes)
        masks, classes, areas = found.instances(i)
        assert masks.dtype == bool
        assert classes.dtype == np.int64
        assert masks.shape == (len(classes), *image.shape[:2])
        assert areas is None or areas.tolist() == masks.sum(axis=(1, 2)).tolist()
        assert set(classes) <= set(range(len(found.instance_classes)))
        assert isinstance(found.unknown_ids(i), dict)
    assert found.instances(0).masks.any()
    assert len(open_labelled(tmp_path, split, share=0.5)) == (
        2 if layout in ("rooms", "ScanNet") else 1
    )


def test_an_unknown_layout_lists_what_is_known(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(GeosetError) as error:
        open_labelled(tmp_path, "train")
    text = str(error.value)
    assert text.startswith(f"{tmp_path}: no labelled data of a known layout (it holds pictures); ")
    for layout, file in [
        ("ScanNet", "scannetv2_train.txt"),
        ("NYUv2", "nyu_depth_v2_labeled.mat"),
        ("rooms", "room.json"),
        ("label folder", "classes.txt"),
        ("COCO", "annotations/instances_<split>*.json"),
    ]:
        line = next(line for line in text.splitlines() if line.startswith(f"  {layout}: "))
        assert file in line


@pytest.mark.parametrize("make", ["file.txt", "empty"])
def test_neither_folder_nor_known_file(tmp_path, make):
    path = tmp_path / make
    path.mkdir() if make == "empty" else path.write_text("")
    held = "nothing" if make == "empty" else "a .txt file"
    with pytest.raises(
        GeosetError, match=rf"no labelled data of a known layout \(it holds {held}\)"
    ):
        open_labelled(path, "train")


def test_nothing_there(tmp_path):
    with pytest.raises(GeosetError, match="gone: does not exist; give the folder of labelled imag"):
        open_labelled(tmp_path / "gone", "train")


@pytest.mark.parametrize("share", [0, -0.5, 1.2])
def test_shares_out_of_range(tmp_path, share):
    with pytest.raises(GeosetError, match=f"share is {share}, expected above 0 and at most 1"):
        open_labelled(tmp_path, "train", share=share)


def test_an_unknown_split(tmp_path):
    with pytest.raises(GeosetError, match="split is 'dev', expected train, val, test or all"):
        open_labelled(tmp_path, "dev")
