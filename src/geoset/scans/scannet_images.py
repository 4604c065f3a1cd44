"""ScanNet's zipped label images: `<scene>_2d-label-filt.zip`, `<scene>_2d-instance-filt.zip`.

Their files are called by the number of the frame. Classes are ScanNet's raw ids, which
`scannetv2-labels.combined.tsv` maps to nyu40.
"""

import csv
import re
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from geoset.errors import GeosetError
from geoset.scans.decode import UNREADABLE, unreadable
from geoset.scans.scan import Frame
from geoset.scans.sens import LARGEST_IMAGE

TABLE = "scannetv2-labels.combined.tsv"
ARCHIVES = {  # first match counts; "filt" was cleaned by ScanNet
    "semantic": ("_2d-label-filt.zip", "_2d-label.zip"),
    "instance": ("_2d-instance-filt.zip", "_2d-instance.zip"),
}
RAW_IDS = 2**16
NUMBERED_PNG = re.compile(r"(^|/)[0-9]{1,9}\.png$")
BAD_ZIP = (*UNREADABLE, BadZipFile, RuntimeError)  # encrypted
BOUNDED = (ZIP_STORED, ZIP_DEFLATED)  # of the others more is unpacked than asked for


def add_label_images(
    frames: list[Frame], folder: Path, scene: str
) -> tuple[list[Frame], list[str]]:
    """Return frames that have the label images there are, and notes on what cannot be used.

    Classes become nyu40 ids (0 = none), and instances keep their numbers (0 = none).
    """
    notes = []
    for layer, endings in ARCHIVES.items():
        archives = (folder / f"{scene}{ending}" for ending in endings)
        archive = next((path for path in archives if path.is_file()), None)
        if archive is None:
            continue
        try:
            nyu40_of_raw = _read_table(folder) if layer == "semantic" else None
            images = _LabelImages(archive, nyu40_of_raw)
        except GeosetError as error:
            notes.append(f"{layer} label images are left out: {error}")
            continue
        frames = [images.added_to(frame, layer) for frame in frames]
    return frames, notes


class _LabelImages:
    """The images in an archive, which stays open as long as a frame refers to it."""

    def __init__(self, path: Path, nyu40_of_raw: np.ndarray | None) -> None:
        self.path, self.nyu40_of_raw = path, nyu40_of_raw
        try:
            self.archive = ZipFile(path)
            self.members = {
                int(Path(info.filename).stem): info
                for info in self.archive.infolist()
                if NUMBERED_PNG.search(info.filename)
            }
        except BAD_ZIP as error:
            raise unreadable(path, error) from error

    def added_to(self, frame: Frame, layer: str) -> Frame:
        """Return the frame with its label image, unless it has one already."""
        member = self.members.get(int(frame.name)) if frame.name.isdecimal() else None
        if member is None or layer in frame.read_labels:
            return frame
        return replace(frame, read_labels={**frame.read_labels, layer: partial(self.read, member)})

    def read(self, member: ZipInfo) -> np.ndarray:
        """Decode an image, (H,W) uint16."""
        most = 2 * LARGEST_IMAGE
        try:
            if member.compress_type not in BOUNDED:
                raise BadZipFile("is neither stored nor deflated")
            with self.archive.open(member) as file:
                data = file.read(most)
            with Image.open(BytesIO(data), formats=("PNG",)) as image:
                if image.width * image.height > LARGEST_IMAGE:
                    raise ValueError(f"an image of {image.width}x{image.height}")
                labels = np.asarray(image)
        except BAD_ZIP as error:
            raise unreadable(self.path / member.filename, error) from error
        if labels.ndim != 2:
            raise GeosetError(
                f"{self.path / member.filename}: expected one channel, found {labels.shape}"
            )
        labels = labels.astype(np.uint16)
        return labels if self.nyu40_of_raw is None else self.nyu40_of_raw[labels]


def _read_table(folder: Path) -> np.ndarray:
    """Return the nyu40 id of each raw id, (65536,) uint16; raw ids that are not listed are 0.

    The table is looked for in `folder` and the two above it.
    """
    places = (folder, *folder.resolve().parents[:2])
    file = next((place / TABLE for place in places if (place / TABLE).is_file()), None)
    if file is None:
        raise GeosetError(
            f"{folder}: no {TABLE} in it or above it, which says what their ids mean; it comes "
            "with ScanNet"
        )
    nyu40_of_raw = np.zeros(RAW_IDS, np.uint16)
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                nyu40_of_raw[int(row["id"])] = int(row["nyu40id"] or 0)
    except (*UNREADABLE, csv.Error, LookupError, TypeError, OverflowError) as error:
        raise unreadable(file, error) from error
    return nyu40_of_raw
