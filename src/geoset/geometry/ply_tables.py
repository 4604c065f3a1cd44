"""The PLY format: a header that declares elements and their properties, and a body of rows.

Ascii and binary of either byte order. The body is read without a Python loop over rows: as one
structured array where all rows of an element have the layout of the first (all faces are
triangles, say), else by a compiled walk.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numba import njit

from geoset.errors import GeosetError

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
BYTE_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
LONGEST_LINE = 65536  # bytes of a header line


@dataclass(frozen=True)
class _Property:
    name: str
    type: np.dtype
    count_type: np.dtype | None  # of a list's length; None for a scalar


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


@dataclass(frozen=True)
class Column:
    """One property of all rows: the `values` of row i are the next `lengths[i]`, or one."""

    values: np.ndarray
    lengths: np.ndarray | None


def bad_ply(path: Path, problem: str) -> GeosetError:
    """Return the error for a file that is not what it should be."""
    return GeosetError(
        f"{path}: not a usable PLY file: {problem}. Copy the file again, or export the mesh anew "
        "as PLY with triangles."
    )


def read_tables(path: Path) -> dict[str, dict[str, Column]]:
    """Return the columns of each element by name; there is one named "vertex".

    Raises:
        GeosetError: the file is missing, truncated or malformed.
    """
    try:
        with path.open("rb") as file:
            file_format, elements = _read_header(path, file)
            body = _read_body(path, file, file_format)
    except OSError as error:
        raise _unopened(path, error) from error
    reader = _BodyReader(path, body, BYTE_ORDERS[file_format])
    tables = {element.name: reader.read(element) for element in elements}
    if "vertex" not in tables:
        raise bad_ply(path, "its header declares no element vertex")
    return tables


def count_rows(path: Path) -> dict[str, int]:
    """Return how many rows the header declares, by element.

    Raises:
        GeosetError: the file is missing, or its header is malformed.
    """
    try:
        with path.open("rb") as file:
            _, elements = _read_header(path, file)
    except OSError as error:
        raise _unopened(path, error) from error
    return {element.name: element.count for element in elements}


def _unopened(path: Path, error: OSError) -> GeosetError:
    return GeosetError(
        f"{path}: cannot be read ({error.strerror or error}). Give the path of a PLY file."
    )


def _read_header(path: Path, file: BinaryIO) -> tuple[str, list[_Element]]:
    """Return the format and the elements; `file` is left at the start of the body."""
    if file.readline(LONGEST_LINE).strip() != b"ply":
        raise bad_ply(path, "it does not start with a line 'ply'")
    file_format, elements = None, []
    while line := file.readline(LONGEST_LINE):
        words = line.decode("ascii", errors="replace").split()
        match words:
            case ["end_header"]:
                if file_format is None:
                    raise bad_ply(path, "its header names no format")
                return file_format, elements
            case [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case ["format", name, "1.0"] if name in BYTE_ORDERS:
                file_format = name
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(_Element(name, int(count), []))
            case ["property", kind, name] if kind in TYPES and elements:
                elements[-1].properties.append(_Property(name, np.dtype(TYPES[kind]), None))
            case ["property", "list", count, kind, name] if (
                kind in TYPES and TYPES.get(count, "f")[0] != "f" and elements
            ):
                types = np.dtype(TYPES[kind]), np.dtype(TYPES[count])
                elements[-1].properties.append(_Property(name, *types))
            case _:
                raise bad_ply(path, f"header line '{' '.join(words)[:80]}' means nothing")
    raise bad_ply(path, "its header has no end_header")


def _read_body(path: Path, file: BinaryIO, file_format: str) -> np.ndarray:
    """Return the rest of the file: uint8 bytes, or of an ascii file its numbers as float64."""
    if file_format == "ascii":
        try:
            return np.fromstring(file.read(), sep=" ")
        except ValueError as error:
            raise bad_ply(path, "its ascii body holds something else than numbers") from error
    start = file.tell()
    if path.stat().st_size == start:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(file, np.uint8, "r", start))


class _BodyReader:
    """Reads the elements of a body one after the other.

    An ascii body is treated as a binary one in which all types are double.
    """

    def __init__(self, path: Path, body: np.ndarray, byte_order: str):
        self.path, self.body, self.byte_order = path, body, byte_order
        self.position = 0  # bytes into the body

    def read(self, element: _Element) -> dict[str, Column]:
        """Return the columns of the next element, in their declared types."""
        if element.count == 0 or not element.properties:
            return {
                p.name: Column(
                    np.empty(0, p.type), None if p.count_type is None else np.empty(0, int)
                )
                for p in element.properties
            }
        least = sum(self._stored(p.count_type or p.type).itemsize for p in element.properties)
        if element.count * least > self._left():
            raise bad_ply(
                self.path,
                f"it is truncated: {element.count} rows of element '{element.name}' need "
                f"{element.count * least} bytes or more, {self._left()} are left",
            )
        columns = self._read_alike(element) or self._read_walking(element)
        return {
            p.name: Column(self._cast(p, column.values), column.lengths)
            for p, column in zip(element.properties, columns, strict=True)
        }

    def _read_alike(self, element: _Element) -> list[Column] | None:
        """Return the columns if every row has lists as long as the first row's, else None."""
        fields, sizes, end = [], [], self.position
        for k, p in enumerate(element.properties):
            size = 1
            if p.count_type is not None:
                kind = self._stored(p.count_type)
                if end + kind.itemsize > self.body.nbytes:
                    return None
                size = np.frombuffer(self.body, kind, 1, end)[0]
                if not 0 <= size <= self._left():
                    return None
                fields.append((f"{k} size", kind))
                end += kind.itemsize
            fields.append((str(k), self._stored(p.type), (int(size),)))
            sizes.append(size)
            end += int(size) * fields[-1][1].itemsize
        if (end - self.position) * element.count > self._left():
            return None
        table = np.frombuffer(self.body, np.dtype(fields), element.count, self.position)
        columns = []
        for k, (p, size) in enumerate(zip(element.properties, sizes, strict=True)):
            lengths = None if p.count_type is None else table[f"{k} size"]
            if lengths is not None and (lengths != size).any():
                return None
            columns.append(Column(table[str(k)].reshape(-1), lengths))
        self.position += table.nbytes
        return columns

    def _read_walking(self, element: _Element) -> list[Column]:
        """Return the columns of an element whose rows differ in size."""
        unit = self.body.itemsize
        stored = [self._stored(p.type) for p in element.properties]
        sizes = np.zeros((len(stored), 2), np.int64)  # of a list's length, of a value
        for k, p in enumerate(element.properties):
            if p.count_type is not None:
                sizes[k, 0] = self._stored(p.count_type).itemsize // unit
            sizes[k, 1] = stored[k].itemsize // unit
        starts = np.empty((len(stored), element.count), np.int64)
        lengths = np.empty_like(starts)
        big = self.byte_order == ">"
        end, row = _walk_rows(self.body, self.position // unit, sizes, big, starts, lengths)
        if row < element.count:
            raise bad_ply(
                self.path,
                f"row {row} of the {element.count} of element '{element.name}' does not end "
                "before the file does",
            )
        self.position = end * unit
        columns = []
        for k, p in enumerate(element.properties):
            values = _gather(self.body, starts[k], lengths[k] * sizes[k, 1]).view(stored[k])
            columns.append(Column(values, None if p.count_type is None else lengths[k]))
        return columns

    def _left(self) -> int:
        return self.body.nbytes - self.position

    def _stored(self, declared: np.dtype) -> np.dtype:
        if self.body.dtype == np.float64:
            return self.body.dtype
        return declared.newbyteorder(self.byte_order)

    def _cast(self, p: _Property, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "f" and p.type.kind in "iu":
            limits = np.iinfo(p.type)
            wrong = values != np.clip(np.rint(values), limits.min, limits.max)
            if wrong.any():
                raise bad_ply(
                    self.path,
                    f"property '{p.name}' holds {values[wrong.argmax()]:g}, "
                    f"expected integers of type {p.type}",
                )
        return values.astype(p.type, copy=False)


@njit(cache=True, nogil=True)
def _walk_rows(body, position, sizes, big_endian, starts, lengths):
    """Fill `starts` and `lengths` (properties, rows), in items of `body`.

    Return where the rows end and how many there are before the end of the body.
    """
    properties, rows = starts.shape
    for row in range(rows):
        for k in range(properties):
            count_size, value_size = sizes[k]
            length = 1
            if position + count_size > len(body):
                return position, row
            if count_size > 0:
                length = 0
                for byte in range(count_size):
                    place = count_size - 1 - byte if big_endian else byte
                    length += np.int64(body[position + byte]) << (8 * place)
                position += count_size
            if length < 0 or length * value_size > len(body) - position:
                return position, row
            starts[k, row], lengths[k, row] = position, length
            position += length * value_size
    return position, rows


@njit(cache=True, nogil=True)
def _gather(body, starts, lengths):
    """Return the pieces of `body` that begin at `starts`, `lengths` items each, as one array."""
    pieces = np.empty(lengths.sum(), body.dtype)
    position = 0
    for i in range(len(starts)):
        for k in range(lengths[i]):
            pieces[position] = body[starts[i] + k]
            position += 1
    return pieces
