"""Files that are cut short, lie, or are no PLY files."""

import re

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.ply import read_ply
from reference.ply import FORMATS, face_element, make_ply, vertex_element


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("polygons", [[(0, 1, 2), (0, 2, 3)], [(0, 1, 2), (0, 1, 2, 3)]])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, file_format, polygons):
    vertex, face = vertex_element(), face_element(*polygons)
    whole = make_ply(tmp_path / "a.ply", file_format, vertex, face).read_bytes().rstrip()
    body = whole.index(b"end_header\n") + len(b"end_header\n")
    cut = tmp_path / "cut.ply"
    for length in range(len(whole)):
        if file_format == "ascii" and length >= body and whole[length : length + 1].strip():
            continue  # a cut inside a number leaves another number
        cut.write_bytes(whole[:length])
        with pytest.raises(GeosetError, match=re.escape(str(cut))) as caught:
            read_ply(cut)
        assert "Copy the file again, or export the mesh anew" in str(caught.value)
        if length >= body:
            assert re.search("truncated|does not end before the file does", str(caught.value))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("element", "real"), [("vertex", "vertex 5"), ("face", "face 2"), ("nothing", "nothing 0")]
)
def test_a_count_that_lies_allocates_nothing(tmp_path, file_format, element, real):
    path = make_ply(
        tmp_path / "a.ply",
        file_format,
        ("nothing", [], []),
        vertex_element(),
        face_element((0, 1, 2), (0, 1, 2, 3)),
    )
    lie = path.read_bytes().replace(real.encode(), f"{element} 1000000000000".encode())
    path.write_bytes(lie)
    if element == "nothing":  # rows without properties take no room
        assert len(read_ply(path).faces) == 3
    else:
        text = f"it is truncated: 1000000000000 rows of element '{element}' need"
        with pytest.raises(GeosetError, match=text):
            read_ply(path)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"])
@pytest.mark.parametrize("row", [0, 1])
def test_a_list_that_lies_about_its_size_is_refused(tmp_path, size, row):
    polygons = "face", ["list int int vertex_indices"], [[[0, 1, 2]], [[0, 2, 3]]]
    path = make_ply(tmp_path / "a.ply", "binary_little_endian", vertex_element(), polygons)
    data = path.read_bytes()
    start = len(data) - (2 - row) * 16
    path.write_bytes(data[:start] + size + data[start + 4 :])
    with pytest.raises(GeosetError, match=f"row {row} of the 2 of element 'face' does not end"):
        read_ply(path)


HEADER = "ply\nformat ascii 1.0\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it does not start with a line 'ply'"),
        ("solid cube\nfacet", "it does not start with a line 'ply'"),
        (HEADER, "its header has no end_header"),
        ("ply\nend_header\n", "its header names no format"),
        ("ply\nformat ascii 2.0\n", "header line 'format ascii 2.0' means nothing"),
        ("ply\nformat binary 1.0\n", "header line 'format binary 1.0' means nothing"),
        (HEADER + "element vertex -3\n", "header line 'element vertex -3' means nothing"),
        (HEADER + f"element vertex {'9' * 5000}\n", "header line 'element vertex 99999999"),
        (HEADER + "element vertex many\n", "header line 'element vertex many' means nothing"),
        (HEADER + "property float x\n", "header line 'property float x' means nothing"),
        (
            HEADER + "element vertex 1\nproperty real x\n",
            "header line 'property real x' means nothing",
        ),
        (
            HEADER + "element face 1\nproperty list float int vertex_index\n",
            "header line 'property list float int vertex_index' means nothing",
        ),
        (HEADER + "end_header\n", "its header declares no element vertex"),
        (
            HEADER + "element vertex 1\nproperty float x\nend_header\n1\n",
            "vertices have no property y, z",
        ),
        (
            HEADER + f"element vertex 1\n{XYZ}end_header\n1 2 three\n",
            "its ascii body holds something else than numbers",
        ),
        (
            HEADER + f"element vertex 1\n{XYZ}property uchar red\nend_header\n1 2 3 256\n",
            "property 'red' holds 256, expected integers of type uint8",
        ),
        (
            HEADER + f"element vertex 1\n{XYZ}property int id\nend_header\n1 2 3 0.5\n",
            "property 'id' holds 0.5, expected integers of type int32",
        ),
        (
            HEADER + f"element vertex 1\n{XYZ}element face 1\n"
            "property list uchar int corners\nend_header\n1 2 3\n3 0 0 0\n",
            "faces have no integer list vertex_indices or vertex_index",
        ),
        (
            HEADER + f"element vertex 1\n{XYZ}element face 2\n"
            "property list uchar int vertex_index\nend_header\n1 2 3\n3 0 0 0\n-1 0 0 0\n",
            "row 1 of the 2 of element 'face' does not end before the file does",
        ),
    ],
)
def test_malformed_files_are_refused(tmp_path, text, problem):
    path = tmp_path / "a.ply"
    path.write_text(text)
    with pytest.raises(GeosetError) as caught:
        read_ply(path)
    assert str(caught.value).startswith(f"{path}: not a usable PLY file: {problem}")
    assert str(caught.value).endswith("or export the mesh anew as PLY with triangles.")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeosetError, match=r"none\.ply: cannot be read \(No such file"):
        read_ply(tmp_path / "none.ply")


def test_random_bytes_never_get_past_the_reader(tmp_path):
    vertex, face = vertex_element(), face_element((0, 1, 2), (0, 1, 2, 3))
    path = make_ply(tmp_path / "a.ply", "binary_little_endian", vertex, face)
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for _ in range(300):
        spoiled = whole.copy()
        for place in rng.integers(0, len(whole), 3):
            spoiled[place] = rng.integers(0, 256)
        path.write_bytes(spoiled)
        try:
            read_ply(path)
        except GeosetError as error:
            assert str(path) in str(error)
