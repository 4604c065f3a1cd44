"""Instances in COCO's JSON format: polygons and run lengths."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools.mask import frPyObjects, merge

from geoset.data.label_set import Instances, Selection, first_share
from geoset.errors import GeosetError
from geoset.scans.decode import read_color

LAYOUT = "COCO"
LOOKS_FOR = (
    "a .json file with images, annotations and categories, or a folder with "
    "annotations/instances_<split>*.json or <split>.json; images in <split>*/, in images/ or in "
    "the folder itself"
)

SPLITS = ("train", "val", "test")
CROWD = "annotation of a crowd"
UNKNOWN_IMAGE = "annotation of an image that is not listed"
UNKNOWN_CATEGORY = "annotation of a category that is not listed"


class CocoImage(NamedTuple):
    """An image and what is in it, as the file says."""

    image_id: str
    path: Path
    height: int
    width: int
    annotations: list[dict[str, Any]]


@dataclass(frozen=True)
class CocoInstances:
    """Images with instances, and no class for every pixel.

    class_of_category: index into `instance_classes` of each category id
    """

    name: str
    instance_classes: tuple[str, ...]
    images: Sequence[CocoImage]
    class_of_category: Mapping[int, int]
    skipped: Mapping[str, int]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def image_id(self, i: int) -> str:
        """Return the image's id in the JSON file."""
        return self.images[i].image_id

    def image(self, i: int) -> np.ndarray:
        """Return (H,W,3) uint8 RGB.

        Raises:
            GeosetError: the file is missing, unreadable, or not of the size that the JSON says.
        """
        image = self.images[i]
        pixels = read_color(image.path)
        if pixels.shape[:2] != (image.height, image.width):
            raise GeosetError(
                f"{image.path}: is {pixels.shape[1]}x{pixels.shape[0]}, its annotations are for "
                f"{image.width}x{image.height}; expected one size, use the images they were made on"
            )
        return pixels

    def semantic(self, i: int) -> np.ndarray:
        """Raise GeosetError: there are no such labels."""
        raise GeosetError(
            f"{self.name}: COCO data has instances only, no class for every pixel; use it for "
            "detection and instance segmentation"
        )

    def instances(self, i: int) -> Instances:
        """Return the instances of the image, in the order of the file.

        Raises:
            GeosetError: an outline is no polygon and no run lengths of the image's size.
        """
        image = self.images[i]
        masks = np.zeros((len(image.annotations), image.height, image.width), bool)
        for k, annotation in enumerate(image.annotations):
            masks[k] = _mask(annotation, image)
        labels = [self.class_of_category[a["category_id"]] for a in image.annotations]
        return Instances(masks, np.array(labels, np.int64))

    def unknown_ids(self, i: int) -> dict[int, int]:
        """Return {}: there are no label images."""
        return {}


def matches(path: Path) -> bool:
    """Tell whether `path` is a .json file or holds one of the names looked for."""
    return path.suffix == ".json" or any(_annotations(path, split) is not None for split in SPLITS)


def read(path: Path, selection: Selection) -> CocoInstances:
    """Read the annotations of a split; a .json file itself is what it is, of whatever split.

    Raises:
        GeosetError: the file is missing or not of this format, has no annotation, or its images
            are not found.
    """
    selection.refuse_split_file(LAYOUT)
    file = path if path.suffix == ".json" else _annotations(path, selection.split)
    if file is None:
        raise GeosetError(
            f"{path}: no annotations/instances_{selection.split}*.json and no "
            f"{selection.split}.json; expected {LOOKS_FOR}. A .json file can be given itself"
        )
    content = _load(file)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    class_of_category = {category["id"]: k for k, category in enumerate(categories)}
    annotations, skipped = {}, Counter()
    listed = {image["id"] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in listed:
            skipped[UNKNOWN_IMAGE] += 1
        elif annotation["category_id"] not in class_of_category:
            skipped[UNKNOWN_CATEGORY] += 1
        elif annotation.get("iscrowd"):
            skipped[CROWD] += 1
        else:
            annotations.setdefault(annotation["image_id"], []).append(annotation)
    if not annotations:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in skipped.items())
        raise GeosetError(
            f"{file}: has no instance in {len(content['images'])} images ({reasons or 'none'}); "
            "expected annotations whose image_id and category_id are listed"
        )
    folder = _image_folder(file, selection.split, content["images"])
    images = [
        CocoImage(
            str(image["id"]),
            folder / image["file_name"],
            image["height"],
            image["width"],
            annotations.get(image["id"], []),
        )
        for image in content["images"]
    ]
    return CocoInstances(
        name=selection.describe(file.stem),
        instance_classes=tuple(category["name"] for category in categories),
        images=first_share([[image] for image in images], selection.share),
        class_of_category=class_of_category,
        skipped=skipped,
    )


def _annotations(path: Path, split: str) -> Path | None:
    if split == "all":  # of one split alone: files of several number their images and classes anew
        found = [file for each in SPLITS if (file := _annotations(path, each))]
        return found[0] if len(found) == 1 else None
    found = sorted(path.glob(f"annotations/instances_{split}*.json"))
    return next((file for file in [*found, path / f"{split}.json"] if file.is_file()), None)


def _load(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the file's content, having checked that it has what is used."""
    try:
        content = json.loads(file.read_bytes())
        required = {
            "images": ("id", "file_name", "height", "width"),
            "annotations": ("image_id", "category_id", "segmentation"),
            "categories": ("id", "name"),
        }
        for kind, keys in required.items():
            for entry in content[kind]:
                itemgetter(*keys)(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeosetError(
            f"{file}: cannot be read as COCO instances ({type(error).__name__}: {error}); expected "
            "images (id, file_name, height, width), annotations (image_id, category_id, "
            "segmentation) and categories (id, name)"
        ) from error
    if not content["images"]:
        raise GeosetError(f"{file}: lists no image; expected images with their annotations")
    unnamed = [category["id"] for category in content["categories"] if not category["name"]]
    if unnamed:
        raise GeosetError(f"{file}: category {unnamed[0]} is an empty class; give it a name")
    return content


def _image_folder(file: Path, split: str, images: list[dict[str, Any]]) -> Path:
    """Return the folder that the first image lies in."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    # instances_val2017.json belongs to val2017/
    names = (file.stem.removeprefix("instances_"), split, "images", ".")
    for name in names:
        if (root / name / images[0]["file_name"]).is_file():
            return root / name
    raise GeosetError(
        f"{file}: its first image, {images[0]['file_name']}, is in none of "
        f"{', '.join(str(root / name) for name in dict.fromkeys(names))}; put the images there"
    )


def _mask(annotation: dict[str, Any], image: CocoImage) -> np.ndarray:
    """Return the pixels of an annotation, (H,W) bool, as the COCO tools draw them."""
    outline, size = annotation["segmentation"], [image.height, image.width]
    try:
        if isinstance(outline, dict):
            if list(outline["size"]) != size:
                raise ValueError(f"run lengths of size {outline['size']}")
            counts = outline["counts"]
        else:
            if not outline or any(len(ring) < 6 or len(ring) % 2 for ring in outline):
                raise ValueError("a polygon without three points x, y")
            counts = merge(frPyObjects(outline, *size))["counts"].decode()
        counts = _decompress(counts) if isinstance(counts, str) else counts
        if sum(counts) != image.height * image.width:
            raise ValueError(f"run lengths of {sum(counts)} pixels")
        # Pixels run down the columns, outside and inside in turn.
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return inside.reshape(image.width, image.height).T
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise GeosetError(
            f"annotation {annotation.get('id')} of image {image.image_id} ({image.path}): {error}; "
            f"expected polygons [[x, y, ...], ...], or run lengths of size {size}"
        ) from error


def _decompress(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed string.

    Each character holds five bits, lowest first, a sixth that says whether the number goes on, and
    the last one's highest bit is the sign; from the fourth number on it is the difference to the
    one before last.
    """
    counts, number, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        number |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                number -= 1 << shift
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    return counts
