"""NYUv2's labelled images: 13 or 40 semantic classes, 9 of instances, white border cropped."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from geoset.data.label_files import IGNORED, UNKNOWN, class_table
from geoset.data.label_set import Instances, Selection, first_share, instances_from
from geoset.data.nyu40 import NYU40
from geoset.errors import GeosetError

LAYOUT = "NYUv2"
LOOKS_FOR = (
    "nyu_depth_v2_labeled.mat, or a folder with it; beside it splits.mat, classMapping40.mat and "
    "class13Mapping.mat"
)

NYU13 = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("painting", "sofa", "table", "tv", "wall", "window"),
)
THINGS = ("bed", "books", "chair", "furniture", "painting", "sofa", "table", "tv", "window")
LABELED = "nyu_depth_v2_labeled.mat"
ROWS, COLUMNS = slice(44, 471), slice(40, 601)  # inside the white border
# There is no validation split: published numbers are of the last or the best test result.
SPLITS = {"train": ("trainNdxs",), "val": ("testNdxs",), "test": ("testNdxs",)}
SPLITS["all"] = ("trainNdxs", "testNdxs")
SHAPES = {"images": (3, 640, 480), "labels": (640, 480), "instances": (640, 480)}
MATLAB = scipy.io.matlab
CORRUPT = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError),
    *(struct.error, zlib.error, MATLAB.MatReadError),
)


@dataclass(frozen=True)
class NyuV2:
    """A split of NYUv2, read from the HDF5 file image by image.

    numbers: of the images, from 0
    class_of_label, instance_class_of_label: of each of the 894 raw labels, from `class_table`
    """

    name: str
    classes: tuple[str, ...]
    instance_classes: tuple[str, ...]
    file: Path
    numbers: list[int]
    class_of_label: np.ndarray
    instance_class_of_label: np.ndarray
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def image_id(self, i: int) -> str:
        """Return the image's number, from 1, as in `splits.mat`."""
        return f"{self.numbers[i] + 1:04d}"

    def image(self, i: int) -> np.ndarray:
        """Return (427,561,3) uint8 RGB."""
        return np.ascontiguousarray(self._read("images", i))

    def semantic(self, i: int) -> np.ndarray:
        """Return the class of each pixel, (427,561) int64, -1 = ignored."""
        return np.maximum(self.class_of_label[self._read("labels", i)], IGNORED)

    def instances(self, i: int) -> Instances:
        """Return the instances: pixels of one raw label and one instance number."""
        labels, numbers = self._read("labels", i), self._read("instances", i)
        # Instances are numbered within their raw label, and several of those make one class.
        numbers = np.where(numbers > 0, numbers + labels.astype(np.int64) * 2**16, 0)
        return instances_from(self.instance_class_of_label[labels], numbers)

    def unknown_ids(self, i: int) -> dict[int, int]:
        """Return the raw labels of image `i` beyond the class map, and their pixels."""
        labels = self._read("labels", i)
        unknown = labels[self.class_of_label[labels] == UNKNOWN]
        found, pixels = np.unique(unknown, return_counts=True)
        return dict(zip(found.tolist(), pixels.tolist(), strict=True))

    def _read(self, kind: str, i: int) -> np.ndarray:
        """Return one image of a kind, rows first, without the border."""
        try:
            # Opened each time: an open HDF5 file cannot be shared with worker processes.
            with h5py.File(self.file) as file:
                return file[kind][self.numbers[i]].T[ROWS, COLUMNS]
        except CORRUPT as error:
            raise _corrupt(self.file, f"{kind} of image {self.image_id(i)}: {error}") from error


def matches(path: Path) -> bool:
    """Tell whether `path` is the labelled .mat file, or a folder with it."""
    return path.suffix == ".mat" or (path / LABELED).is_file()


def read(path: Path, selection: Selection) -> NyuV2:
    """Read a split; val is the test split, since NYUv2 has no other.

    Raises:
        GeosetError: a file beside it is missing or corrupt, or they do not fit each other.
    """
    selection.refuse_split_file(LAYOUT)
    file = _labeled(path)
    count = _count_images(file)
    numbers = _split(file.with_name("splits.mat"), selection.split, count)
    nyu40 = _class_map(file.with_name("classMapping40.mat"), "mapClass", len(NYU40))
    nyu13 = _class_map(file.with_name("class13Mapping.mat"), "classMapping13", len(NYU13))
    if len(nyu13) != len(NYU40):
        raise _corrupt(
            file.with_name("class13Mapping.mat"),
            f"maps {len(nyu13)} classes, expected the {len(NYU40)} of classMapping40.mat",
        )
    to_13 = np.concatenate([[0], nyu13])[nyu40]
    things = np.array([THINGS.index(n) if n in THINGS else IGNORED for n in ("none", *NYU13)])
    return NyuV2(
        name=selection.describe(f"{LAYOUT}, {selection.nyu_classes} classes,"),
        classes=NYU13 if selection.nyu_classes == 13 else NYU40,
        instance_classes=THINGS,
        file=file,
        numbers=first_share([[n] for n in numbers], selection.share),
        class_of_label=_table((to_13 if selection.nyu_classes == 13 else nyu40) - 1),
        instance_class_of_label=_table(things[to_13]),
    )


def _labeled(path: Path) -> Path:
    return path / LABELED if path.is_dir() else path


def _table(classes: np.ndarray) -> np.ndarray:
    """Return the table of 16-bit ids whose raw label k is of classes[k - 1]."""
    table = class_table(())
    table[1 : len(classes) + 1] = classes
    return table


def _count_images(file: Path) -> int:
    """Return how many images the .mat file holds, having checked the shapes."""
    try:
        with h5py.File(file) as content:
            shapes = {kind: content[kind].shape for kind in SHAPES}
    except CORRUPT as error:
        raise _corrupt(file, error) from error
    counts = {shape[0] for shape in shapes.values()}
    if len(counts) > 1 or any(shapes[kind][1:] != SHAPES[kind] for kind in SHAPES):
        raise _corrupt(
            file, f"shapes are {shapes}, expected images (N, 3, 640, 480), the others (N, 640, 480)"
        )
    return counts.pop()


def _split(file: Path, split: str, count: int) -> list[int]:
    """Return the image numbers of a split, from 0."""
    numbers = np.concatenate([_matrix(file, name) for name in SPLITS[split]]) - 1
    if len(numbers) == 0 or numbers.min() < 0 or numbers.max() >= count:
        raise _corrupt(
            file,
            f"holds image numbers {numbers.min(initial=0) + 1} to {numbers.max(initial=0) + 1}, "
            f"expected 1 to {count}, the images of {LABELED}",
        )
    return numbers.tolist()


def _class_map(file: Path, name: str, classes: int) -> np.ndarray:
    """Return the class, from 1, of each id from 1; 0 = none."""
    found = _matrix(file, name)
    if len(found) == 0 or found.min() < 0 or found.max() > classes:
        raise _corrupt(file, f"{name} is not a list of classes from 0 to {classes}")
    return found


def _matrix(file: Path, name: str) -> np.ndarray:
    """Return a variable of an old-format .mat file, or the first field of a struct, flat."""
    try:
        found = scipy.io.loadmat(file)[name]
        return (found[0, 0][0] if found.dtype.names else found).ravel().astype(np.int64)
    except CORRUPT as error:
        raise _corrupt(file, error) from error


def _corrupt(file: Path, error: object) -> GeosetError:
    if not file.is_file():
        return GeosetError(
            f"{file}: file is missing; {LAYOUT} needs it beside {LABELED}. splits.mat is published "
            "with the data set, the class maps with the 40 and 13-class benchmarks"
        )
    return GeosetError(f"{file}: cannot be read ({error}); download it again")
