"""ScanNet's label images: `<scene>_2d-label-filt.zip`, `<scene>_2d-instance-filt.zip`, `label/`.

Files in the archives are called by the number of the frame. Classes are ScanNet's raw ids, which
`scannetv2-labels.combined.tsv` maps to nyu40; `label/` holds them too, where the archive was
unpacked, but nyu40 ids in `scannet_frames_25k`.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from geoset.errors import GeosetError
from geoset.scans.decode import UNREADABLE, unreadable
from geoset.scans.scan import Frame
from geoset.scans.scannet_labels import NYU40_CLASSES
from geoset.scans.sens import LARGEST_IMAGE

TABLE = "scannetv2-labels.combined.tsv"
ARCHIVES = {  # first match counts; "filt" was cleaned by ScanNet
    "semantic": ("_2d-label-filt.zip", "_2d-label.zip"),
    "instance": ("_2d-instance-filt.zip", "_2d-instance.zip"),
}
FRAMES_25K = "intrinsics_color.txt"  # of its export alone
RAW_IDS = 2**16
SAMPLED_IMAGES = 50  # that are read to see whether their ids are raw
NUMBERED_PNG = re.compile(r"(^|/)[0-9]{1,9}\.png$")
BAD_ZIP = (*UNREADABLE, BadZipFile, RuntimeError)  # encrypted
LEFT_OUT = "{} label images are left out: {}"
BOUNDED = (ZIP_STORED, ZIP_DEFLATED)  # of the others more is unpacked than asked for


def add_label_images(
    frames: list[Frame], folder: Path, scene: str
) -> tuple[list[Frame], list[str]]:
    """Return frames that have the label images there are, and notes on what cannot be used.

    Those of an archive replace those in the frames. Classes become nyu40 ids (0 = none), and
    instances keep their numbers (0 = none).
    """
    notes, archived = [], set()
    for layer, endings in ARCHIVES.items():
        archives = (folder / f"{scene}{ending}" for ending in endings)
        archive = next((path for path in archives if path.is_file()), None)
        if archive is None:
            continue
        try:
            nyu40_of_raw = _read_table(folder) if layer == "semantic" else None
            images = _LabelImages(archive, nyu40_of_raw)
        except GeosetError as error:
            notes.append(LEFT_OUT.format(layer, error))
            continue
        readers = [images.reader_of(frame) for frame in frames]
        if any(readers):
            frames = [_with_label(*each, layer) for each in zip(frames, readers, strict=True)]
            archived.add(layer)
    if "semantic" not in archived and not (folder / FRAMES_25K).is_file():
        frames, more = _with_nyu40(frames, folder)
        notes += more
    return frames, notes


def _with_label(frame: Frame, read: Callable[[], np.ndarray] | None, layer: str) -> Frame:
    """Return the frame with this label image, or none, and no other of the layer."""
    others = {name: own for name, own in frame.read_labels.items() if name != layer}
    return replace(frame, read_labels={**others, layer: read} if read else others)


def _with_nyu40(frames: list[Frame], folder: Path) -> tuple[list[Frame], list[str]]:
    """Return frames whose own label images, of raw ids, are mapped to nyu40; and notes.

    Without the table, ids up to 40 stay as they are; if there are larger ones, all are left out.
    """
    own = [frame.read_labels.get("semantic") for frame in frames]
    images = [read for read in own if read]
    table = _table_file(folder)
    sample = images[:: -(-len(images) // SAMPLED_IMAGES) or 1]
    if not images or (table is None and not any(map(_holds_raw_ids, sample))):
        return frames, []
    try:
        nyu40_of_raw = _read_table(folder)
        own = [read and partial(_mapped, nyu40_of_raw, read) for read in own]
        note = f"ids in label/ are taken for ScanNet's raw ones, mapped to nyu40 by {table}"
    except GeosetError as error:
        own = [None] * len(frames)
        note = LEFT_OUT.format("semantic", f"label/ holds ScanNet's raw ids, but {error}")
    return [_with_label(*each, "semantic") for each in zip(frames, own, strict=True)], [note]


def _holds_raw_ids(read: Callable[[], np.ndarray]) -> bool:
    """Tell whether a label image holds ids that are none of nyu40; not if it is unreadable."""
    try:
        return bool((read() > NYU40_CLASSES).any())
    except GeosetError:
        return False


def _mapped(nyu40_of_raw: np.ndarray, read: Callable[[], np.ndarray]) -> np.ndarray:
    return nyu40_of_raw[read()]


class _LabelImages:
    """The images in an archive; from the first that is read on, it stays open."""

    def __init__(self, path: Path, nyu40_of_raw: np.ndarray | None) -> None:
        self.path, self.nyu40_of_raw = path, nyu40_of_raw
        try:
            with ZipFile(path) as archive:
                self.members = {
                    int(Path(info.filename).stem): info
                    for info in archive.infolist()
                    if NUMBERED_PNG.search(info.filename)
                }
        except BAD_ZIP as error:
            raise unreadable(path, error) from error

    @cached_property
    def archive(self) -> ZipFile:
        """The archive, open."""
        return ZipFile(self.path)

    def reader_of(self, frame: Frame) -> Callable[[], np.ndarray] | None:
        """Return what reads the label image of a frame, or None if there is none."""
        member = self.members.get(int(frame.name)) if frame.name.isdecimal() else None
        return member and partial(self.read, member)

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


def _table_file(folder: Path) -> Path | None:
    """Return the table of ids, which is looked for in `folder` and the two above it."""
    places = (folder, *folder.resolve().parents[:2])
    return next((place / TABLE for place in places if (place / TABLE).is_file()), None)


def _read_table(folder: Path) -> np.ndarray:
    """Return the nyu40 id of each raw id, (65536,) uint16; raw ids that are not listed are 0."""
    file = _table_file(folder)
    if file is None:
        raise GeosetError(
            f"{folder}: no {TABLE} in it or above it, which says what their ids mean; it comes "
            "with ScanNet: put it there"
        )
    nyu40_of_raw = np.zeros(RAW_IDS, np.uint16)
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                nyu40_of_raw[int(row["id"])] = int(row["nyu40id"] or 0)
    except (*UNREADABLE, csv.Error, LookupError, TypeError, OverflowError) as error:
        raise unreadable(file, error) from error
    return nyu40_of_raw
