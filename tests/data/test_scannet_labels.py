"""ScanNet's 25k frames: 8-bit nyu40 labels, 16-bit instances, lists of scenes."""

import numpy as np
import pytest
from PIL import Image

from geoset.data.label_set import Instances
from geoset.data.labelled import open_labelled
from geoset.data.scannet import CLASSES
from geoset.errors import GeosetError
from labelled_folders import write_png, write_scene

IMAGE = np.full((24, 32, 3), (200, 100, 50), np.uint8)
# Six areas of 4 rows: none, wall, chair, otherfurniture, lamp (nyu40, no class), beyond nyu40.
LABELS = np.repeat([0, 1, 5, 39, 35, 149], 4)[:, None].repeat(32, axis=1)
SEMANTIC = np.repeat([-1, 0, 4, 19, -1, -1], 4)[:, None].repeat(32, axis=1)
# The wall is one thing, as are the left chair, the right chair and the furniture.
INSTANCES = LABELS * 1000 + 1
INSTANCES[LABELS == 0] = 0
INSTANCES[8:12, 16:] = 5002
INSTANCES[LABELS == 149] = 65000


@pytest.fixture
def folder(tmp_path):
    """Scenes of 1, 2, 3 and 4 frames; three are listed for training, not by name, one for val."""
    for k in range(4):
        scene = tmp_path / f"data/scannet_frames_25k/scene000{k}_00"
        write_scene(scene, range(0, 100 * (k + 1), 100), IMAGE, LABELS, INSTANCES)
    (tmp_path / "data/scannetv2_train.txt").write_text("scene0002_00\nscene0000_00\nscene0003_00\n")
    (tmp_path / "data/scannetv2_val.txt").write_text("scene0001_00\r\n")
    return tmp_path / "data"


def ids(labelled):
    return [labelled.image_id(i) for i in range(len(labelled))]


def test_twenty_classes_of_which_eighteen_have_instances(folder):
    found = open_labelled(folder, "val")
    assert found.classes == (
        *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window"),
        *("bookshelf", "picture", "counter", "desk", "curtain", "refrigerator"),
        *("shower curtain", "toilet", "sink", "bathtub", "otherfurniture"),
    )
    assert found.instance_classes == found.classes[2:]


def test_pixels(folder):
    found = open_labelled(folder, "val")
    image, labels = found.image(0), found.semantic(0)
    assert image.dtype == np.uint8
    assert image.shape == IMAGE.shape
    assert np.abs(image.astype(int) - IMAGE).max() <= 2
    assert labels.dtype == np.int64
    assert np.array_equal(labels, SEMANTIC)
    assert found.unknown_ids(0) == {149: 4 * 32}


def test_every_class_id(folder):
    """nyu40 ids 1 to 40 in a row of one image each: the twenty, in order, and nothing else."""
    scene = folder / "scannet_frames_25k/scene0001_00"
    write_png(scene / "label/000000.png", np.arange(32 * 24, dtype=np.uint16).reshape(24, 32))
    labels = open_labelled(folder, "val").semantic(0).ravel()
    nyu40 = [*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39]
    assert np.flatnonzero(labels >= 0).tolist() == nyu40
    assert labels[nyu40].tolist() == list(range(20))


def test_instances_are_16_bit_id_times_1000_plus_number(folder):
    scene = folder / "scannet_frames_25k/scene0001_00"
    assert Image.open(scene / "instance/000000.png").mode == "I;16"
    found = open_labelled(folder, "val").instances(0)
    assert isinstance(found, Instances)
    assert found.masks.dtype == bool
    assert found.labels.dtype == np.int64
    names = [CLASSES[2:][label] for label in found.labels]
    assert names == ["chair", "chair", "otherfurniture"]
    assert [np.argwhere(mask).min(axis=0).tolist() for mask in found.masks] == [
        *([8, 0], [8, 16], [12, 0]),
    ]
    assert found.masks.sum(axis=(1, 2)).tolist() == [64, 64, 128]
    assert found.areas.tolist() == [64, 64, 128]


def test_splits_follow_the_lists(folder):
    assert ids(open_labelled(folder, "val")) == ["scene0001_00/000000", "scene0001_00/000100"]
    scenes = [name[:12] for name in ids(open_labelled(folder, "train"))]
    assert scenes == ["scene0002_00"] * 3 + ["scene0000_00"] + ["scene0003_00"] * 4
    assert len(open_labelled(folder, "all")) == 10


@pytest.mark.parametrize("place", ["data/scannet_frames_25k", "frames"])
def test_the_frames_may_be_given_themselves(folder, place):
    frames = folder / "scannet_frames_25k"
    frames = frames.rename(folder / "frames") if place == "frames" else frames
    assert len(open_labelled(frames, "train")) == 8


@pytest.mark.parametrize(
    ("share", "images"),
    [(0.2, 3), (0.375, 3), (0.38, 4), (0.5, 4), (0.51, 8), (0.8, 8), (1.0, 8)],
)
def test_shares_are_whole_scenes_in_list_order_counted_in_images(folder, share, images):
    """Of 3 + 1 + 4 images: the fewest scenes with at least the share of 8 images."""
    found = open_labelled(folder, "train", share=share)
    assert ids(found) == ids(open_labelled(folder, "train"))[:images]
    part = "" if share == 1 else f" ({100 * share:g} % of the images)"
    assert found.name == f"ScanNet train{part}"


def test_unpadded_names(tmp_path):
    scene = tmp_path / "scene0000_00"
    write_scene(scene, (0, 100, 1000, 20), IMAGE, LABELS, INSTANCES, pattern="{}")
    found = open_labelled(tmp_path, "all")
    assert ids(found) == [f"scene0000_00/{k}" for k in (0, 20, 100, 1000)]
    assert len(found.instances(3).labels) == 3


def test_padded_images_with_unpadded_labels(tmp_path):
    scene = write_scene(tmp_path / "scene0000_00", (0, 100), IMAGE, LABELS, INSTANCES)
    for file in (*scene.glob("label/*"), *scene.glob("instance/*")):
        file.rename(file.with_stem(str(int(file.stem))))
    found = open_labelled(tmp_path, "all")
    assert ids(found) == ["scene0000_00/000000", "scene0000_00/000100"]
    assert np.array_equal(found.semantic(1), SEMANTIC)
    assert len(found.instances(1).labels) == 3


def test_a_list_of_ones_own(folder, tmp_path):
    own = tmp_path / "mine.txt"
    own.write_text("scene0000_00\n\nscene0000_00\n")
    assert ids(open_labelled(folder, "train", split_file=own)) == ["scene0000_00/000000"]


def test_what_is_missing_is_counted(folder):
    with (folder / "scannetv2_val.txt").open("a") as file:
        file.write("scene0700_00\nscene0701_00\n")
    (folder / "scannet_frames_25k/scene0001_00/label/000100.png").unlink()
    found = open_labelled(folder, "val")
    assert len(found) == 1
    assert found.skipped == {
        "scene of the list is not there": 2,
        "image without a label image": 1,
    }


def test_labels_of_another_size(tmp_path):
    """1296x968 images with 640x480 labels: one view, the label pixel under each image pixel."""
    image = np.zeros((968, 1296, 3), np.uint8)
    labels = np.zeros((480, 640), int)
    labels[120:240, 320:] = 5
    write_scene(tmp_path / "scene0000_00", [0], image, labels, labels * 1000 + (labels > 0))
    found = open_labelled(tmp_path, "all")
    assert found.image(0).shape == (968, 1296, 3)
    chair = found.semantic(0) == 4
    assert chair.shape == (968, 1296)
    assert [chair.argmax(axis=0).max(), chair.argmax(axis=1).max()] == [242, 648]
    assert chair.sum() == 242 * 648
    instances = found.instances(0)
    assert np.array_equal(instances.masks[0], chair)
    assert instances.areas.tolist() == [120 * 320]


def test_without_instance_images_there_are_no_instance_classes(tmp_path):
    write_scene(tmp_path / "scene0000_00", [0], IMAGE, LABELS)
    found = open_labelled(tmp_path, "all")
    assert found.instance_classes == ()
    with pytest.raises(GeosetError, match=r"000000.jpg: no instance image; expected"):
        found.instances(0)


def test_a_missing_list(folder):
    (folder / "scannetv2_val.txt").unlink()
    with pytest.raises(GeosetError, match=r"no scannetv2_val.txt in it or beside it.*Benchmark"):
        open_labelled(folder, "val")


def test_scenes_that_are_not_there(folder):
    (folder / "scannetv2_val.txt").write_text("scene0700_00\n")
    with pytest.raises(GeosetError, match="none of the 1 scenes of the val split, such as scene07"):
        open_labelled(folder, "val")


def test_no_frame_has_a_label_image(folder):
    for file in folder.glob("scannet_frames_25k/scene0001_00/label/*"):
        file.unlink()
    with pytest.raises(GeosetError, match=r"no labelled image .2 x image without a label image"):
        open_labelled(folder, "val")


def test_sizes_that_do_not_fit(folder):
    write_png(
        folder / "scannet_frames_25k/scene0001_00/label/000000.png", np.ones((24, 24), np.uint8)
    )
    with pytest.raises(
        GeosetError, match=r"label/000000.png: is 24x24, its image .* is 32x24; exp"
    ):
        open_labelled(folder, "val")


@pytest.mark.parametrize(
    ("kind", "read"), [("color/000100.jpg", "image"), ("label/000100.png", "semantic")]
)
def test_an_unreadable_image(folder, kind, read):
    file = folder / "scannet_frames_25k/scene0001_00" / kind
    file.write_bytes(file.read_bytes()[:60])
    found = open_labelled(folder, "val")
    with pytest.raises(GeosetError, match=rf"{kind}: cannot be read \("):
        getattr(found, read)(1)


def test_label_images_in_colour(folder):
    write_png(folder / "scannet_frames_25k/scene0001_00/label/000000.png", IMAGE)
    with pytest.raises(GeosetError, match=r"000000.png: expected one channel of 8 or 16 bits"):
        open_labelled(folder, "val")
