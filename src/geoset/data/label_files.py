"""Labelled images in files: a colour image, a label image and perhaps an instance image each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoset.data.label_set import Instances, instances_from
from geoset.errors import GeosetError
from geoset.geometry.resize import nearest_source_pixels, same_aspect
from geoset.scans.decode import IMAGE_SUFFIXES, image_size, read_color, read_integers, visible

NO_LABEL_IMAGE = "image without a label image"
IGNORED, UNKNOWN = -1, -2  # in tables of classes
PACKED = 1000  # instance image = id of the class * 1000 + number


class LabelledFile(NamedTuple):
    """The files of one image."""

    image_id: str
    image: Path
    labels: Path
    instances: Path | None


def class_table(ids: Iterable[int], ignored: Iterable[int] = (0,)) -> np.ndarray:
    """Return the class of each 16-bit id, (65536,) int64: k for the k-th of `ids`."""
    table = np.full(2**16, UNKNOWN, np.int64)
    table[list(ignored)] = IGNORED
    for k, number in enumerate(ids):
        table[number] = k
    return table


@dataclass(frozen=True)
class LabelledFiles:
    """A labelled set of image files; label images may be of another size than their image.

    class_of_id, instance_class_of_id: from `class_table`
    packed: instance images hold id * 1000 + number; otherwise any number, unique within its class
    class_list: the file that lists all ids there may be: a larger one in a label image is an error
    """

    name: str
    classes: tuple[str, ...]
    instance_classes: tuple[str, ...]
    files: Sequence[LabelledFile]
    class_of_id: np.ndarray
    instance_class_of_id: np.ndarray
    packed: bool
    skipped: Mapping[str, int]
    class_list: Path | None = None

    def __len__(self) -> int:
        return len(self.files)

    def image_id(self, i: int) -> str:
        """Return the image's scene and name."""
        return self.files[i].image_id

    def image(self, i: int) -> np.ndarray:
        """Return (H,W,3) uint8 RGB.

        Raises:
            GeosetError: the file is missing or unreadable.
        """
        return read_color(self.files[i].image)

    def semantic(self, i: int) -> np.ndarray:
        """Return the class of each pixel of the image, (H,W) int64, -1 = ignored.

        Raises:
            GeosetError: a file is missing or unreadable, the label image shows another part of
                the view than the image, or an id is not in the class list.
        """
        file = self.files[i]
        ids = read_integers(file.labels)
        classes = self.class_of_id[ids]
        if self.class_list is not None and (classes == UNKNOWN).any():
            raise GeosetError(
                f"{file.labels}: holds label {ids[classes == UNKNOWN].max()}, larger than the "
                f"class list: {self.class_list} has {len(self.classes)} lines, so labels are 1 to "
                f"{len(self.classes)}, and 0 or 255 for none. Add the missing names, or write "
                "'id name' on every line"
            )
        rows, columns = _nearest(file.labels, ids.shape, file.image)
        return np.maximum(classes, IGNORED)[rows, columns]

    def instances(self, i: int) -> Instances:
        """Return the instances of the image.

        Raises:
            GeosetError: there is no instance image, it is unreadable, or not of the size of what
                it belongs to.
        """
        file = self.files[i]
        if file.instances is None:
            raise GeosetError(
                f"{file.image}: no instance image; expected an 8 or 16-bit PNG in the folder of "
                "instances. Add it, or use the set for segmentation only"
            )
        numbers = read_integers(file.instances)
        ids = numbers // PACKED if self.packed else read_integers(file.labels)
        if ids.shape != numbers.shape:
            raise GeosetError(
                f"{file.instances}: is {numbers.shape[1]}x{numbers.shape[0]}, its label image "
                f"{ids.shape[1]}x{ids.shape[0]}, expected one size; write both anew from one source"
            )
        pixels = _nearest(file.instances, numbers.shape, file.image)
        return instances_from(self.instance_class_of_id[ids], numbers, pixels)

    def unknown_ids(self, i: int) -> dict[int, int]:
        """Return the ids in label image `i` that the layout does not know, and their pixels."""
        ids = read_integers(self.files[i].labels)
        found, pixels = np.unique(ids[self.class_of_id[ids] == UNKNOWN], return_counts=True)
        return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _nearest(path: Path, shape: tuple[int, ...], image: Path) -> tuple:
    """Return the row and column of a label image that each pixel of its image falls on."""
    (height, width), (image_width, image_height) = shape, image_size(image)
    if (width, height) == (image_width, image_height):
        return slice(None), slice(None)
    if not same_aspect((height, width), (image_height, image_width)):
        raise GeosetError(
            f"{path}: is {width}x{height}, its image {image} is {image_width}x{image_height}; "
            "expected one size, or one aspect, so that they show the same view. Crop or pad the "
            "label image"
        )
    return nearest_source_pixels((height, width), (image_height, image_width))


def scene_files(scene: Path) -> tuple[list[LabelledFile], int]:
    """Match `color/`, `label/` and `instance/` of a scene by number, padded (000100) or not (100).

    Returns the files in order of number, and how many colour images have no label image.
    """
    color, label, instance = (
        {_number(file.stem): file for file in visible(scene / kind, *IMAGE_SUFFIXES)}
        for kind in ("color", "label", "instance")
    )
    files = [
        LabelledFile(f"{scene.name}/{file.stem}", file, label[number], instance.get(number))
        for number, file in sorted(color.items())
        if number in label
    ]
    return files, len(color) - len(files)


def _number(stem: str) -> tuple[int, str]:
    return (int(stem), "") if stem.isdecimal() else (-1, stem)
