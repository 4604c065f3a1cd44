"""Writers of small labelled data sets, one for each layout that can be read."""

import json
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import simplejpeg
from PIL import Image


def write_scene(path, numbers, image, labels, instances=None, pattern="{:06d}"):
    """Write frames of one scene as `scannet_frames_25k` has them, all with the same content.

    image: (H,W,3) uint8, stored as JPEG; labels: (h,w) nyu40 ids, 8 bit; instances: 16 bit
    """
    for number in numbers:
        name = pattern.format(number)
        write_bytes(path / f"color/{name}.jpg", simplejpeg.encode_jpeg(image, 95))
        write_png(path / f"label/{name}.png", np.asarray(labels, np.uint8))
        if instances is not None:
            write_png(path / f"instance/{name}.png", np.asarray(instances, np.uint16))
    return path


def write_nyuv2(path, images, labels, instances, train, test, to_40, to_13):
    """Write NYUv2's four files.

    images: (N,480,640,3) uint8; labels, instances: (N,480,640)
    train, test: image numbers from 1; to_40: class of each raw label from 1; to_13: of each of 40
    """
    path.mkdir(parents=True, exist_ok=True)
    # MATLAB's version 7.3 puts a text of 512 bytes before the HDF5 content, and columns first.
    file = path / "nyu_depth_v2_labeled.mat"
    with h5py.File(file, "w", userblock_size=512) as content:
        content["images"] = images.transpose(0, 3, 2, 1)
        content["labels"] = labels.astype(np.uint16).transpose(0, 2, 1)
        content["instances"] = instances.astype(np.uint8).transpose(0, 2, 1)
    with file.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    # Older files: numbers as columns, class maps as rows of float64, names as cells.
    scipy.io.savemat(
        path / "splits.mat",
        {
            "trainNdxs": np.array(train, np.uint16)[:, None],
            "testNdxs": np.array(test, np.uint16)[:, None],
        },
    )
    names = np.array([f"name {k}" for k in range(40)], object)[None]
    scipy.io.savemat(
        path / "classMapping40.mat",
        {"mapClass": np.array(to_40, np.float64)[None], "className": names},
    )
    scipy.io.savemat(
        path / "class13Mapping.mat",
        {"classMapping13": {"labels13": np.array(to_13, np.float64), "class13": names[:, :13]}},
    )
    return path


def write_label_folder(path, files, classes, instances=None, lists=None):
    """Write `images/ labels/ instances/`, `classes.txt` and lists of splits.

    files: by name (image (H,W,3), labels (h,w)); classes: text; instances: by name (h,w)
    lists: names by split
    """
    for name, (image, labels) in files.items():
        write_png(path / f"images/{name}.png", image)
        write_png(path / f"labels/{name}.png", labels)
    for name, numbers in (instances or {}).items():
        write_png(path / f"instances/{name}.png", numbers)
    for split, names in (lists or {}).items():
        (path / f"{split}.txt").write_text("\n".join(names) + "\n")
    (path / "classes.txt").write_text(classes)
    return path


def write_coco(path, images, annotations, categories, split="val2017"):
    """Write `annotations/instances_<split>.json` and `<split>/<id>.png`.

    images: (H,W,3) by id; annotations: dicts without id; categories: names by id
    """
    content = {
        "images": [
            {"id": k, "file_name": f"{k:012d}.png", "height": len(image), "width": len(image[0])}
            for k, image in images.items()
        ],
        "annotations": [{"id": 100 + k, **entry} for k, entry in enumerate(annotations)],
        "categories": [{"id": k, "name": name} for k, name in categories.items()],
    }
    for k, image in images.items():
        write_png(path / f"{split}/{k:012d}.png", image)
    write_bytes(path / f"annotations/instances_{split}.json", json.dumps(content).encode())
    return path


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def write_bytes(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
