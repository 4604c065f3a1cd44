"""Damage to files, as failing disks, cut downloads and bad tools do it; and worse."""

import re
import struct
import zlib

import numpy as np

DIRECTORY, PIPE = object(), object()  # instead of the content of a file
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
ODD_NUMBERS = (
    *(b"0", b"-1", b"nan", b"-inf", b"1e308", b"1e400", b"-1e-320", b"4294967296", b"0x10"),
    *(b"9" * 400, b"9" * 5000, b"", b"null", b'"x"', b"[]", b"\xff", b"1 2", b"\n"),
)
GARBAGE = (
    *(b"[" * 100_000, b'{"a":' * 50_000, b"[]", b"{}", b"null", b"0", b'"', b"[[[1]]]", bytes(99)),
    b"ply\nformat ascii 1.0\nelement vertex 999999999999\nproperty float x\nend_header\n",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
)


def mutate(files, rng):
    """Return `files`, {path: bytes}, damaged in one to three ways, and what was done, as text.

    A content may become DIRECTORY or PIPE.
    """
    files, done = dict(files), []
    for _ in range(rng.choice([1, 1, 2, 3])):
        mutation = MUTATIONS[rng.integers(len(MUTATIONS))]
        names = sorted(name for name, content in files.items() if isinstance(content, bytes))
        if not names:
            break
        name = names[rng.integers(len(names))]
        mutation(files, name, rng)
        done.append(f"{mutation.__name__} {name}")
    return files, ", ".join(done)


def flip_bytes(files, name, rng):
    content = bytearray(files[name])
    for place in rng.integers(len(content), size=rng.choice([1, 4, 64])) if content else ():
        content[place] = rng.integers(256)
    files[name] = bytes(content)


def flip_bytes_of_the_start(files, name, rng):
    content = bytearray(files[name])
    for place in rng.integers(min(len(content), 400), size=rng.choice([1, 3])) if content else ():
        content[place] ^= 1 << rng.integers(8)
    files[name] = bytes(content)


def extreme_integer(files, name, rng):
    content = bytearray(files[name])
    size = int(rng.choice([2, 4, 8]))
    if len(content) > size:
        place = rng.integers(len(content) - size)
        extremes = (b"\xff" * size, b"\x00" * size, b"\xff" * (size - 1) + b"\x7f", b"\x00\x01" * 4)
        content[place : place + size] = extremes[rng.integers(4)][:size]
    files[name] = bytes(content)


def truncate(files, name, rng):
    files[name] = files[name][: rng.integers(len(files[name]) + 1)]


def empty(files, name, rng):
    files[name] = b""


def delete(files, name, rng):
    del files[name]


def rename(files, name, rng):
    files[f"{name}{('~', '.png', 'é')[rng.integers(3)]}"] = files.pop(name)


def insert_bytes(files, name, rng):
    place = rng.integers(len(files[name]) + 1)
    added = rng.integers(256, size=rng.integers(1, 200), dtype=np.uint8).tobytes()
    files[name] = files[name][:place] + added + files[name][place:]


def repeat_or_shuffle_lines(files, name, rng):
    lines = files[name].splitlines(keepends=True)
    chosen = rng.integers(len(lines), size=rng.integers(1, 2 * len(lines) + 1)) if lines else ()
    files[name] = b"".join(lines[k] for k in chosen)


def swap(files, name, rng):
    names = sorted(files)
    other = names[rng.integers(len(names))]
    files[name], files[other] = files[other], files[name]


def odd_number(files, name, rng):
    """Replace a number, wherever digits stand, in text or in a header of text."""
    numbers = list(NUMBER.finditer(files[name]))
    if numbers:
        found = numbers[rng.integers(len(numbers))]
        odd = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
        files[name] = files[name][: found.start()] + odd + files[name][found.end() :]


def garbage(files, name, rng):
    files[name] = GARBAGE[rng.integers(len(GARBAGE))]


def directory(files, name, rng):
    files[name] = DIRECTORY


def pipe(files, name, rng):
    files[name] = PIPE


def png_that_lies(files, name, rng):
    """Give a picture (some file, if there is none) a header of another size, its checksum right."""
    pictures = [n for n, c in sorted(files.items()) if isinstance(c, bytes) and c[1:4] == b"PNG"]
    name = pictures[rng.integers(len(pictures))] if pictures else name
    width, height = (int(side) for side in rng.choice([0, 1, 16, 9000, 60000, 2**31 - 1], 2))
    depth, kind = int(rng.choice([1, 8, 16])), int(rng.choice([0, 2, 3, 6]))
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    header = files[name][:12] + chunk + struct.pack(">I", zlib.crc32(chunk))
    files[name] = header + files[name][33:]


MUTATIONS = (
    flip_bytes,
    flip_bytes_of_the_start,
    extreme_integer,
    truncate,
    empty,
    delete,
    rename,
    insert_bytes,
    repeat_or_shuffle_lines,
    swap,
    odd_number,
    odd_number,
    garbage,
    directory,
    pipe,
    png_that_lies,
)
