import re

import numpy as np
import pytest

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import count_vertices, read_ply, read_ply_properties, write_ply
from reference.ply import FORMATS, POINTS, face_element, make_ply, vertex_element


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("kind", "exact"), [("float", False), ("double", True)])
@pytest.mark.parametrize("name", ["vertex_index", "vertex_indices"])
def test_reads_triangles(tmp_path, file_format, kind, exact, name):
    faces = face_element((0, 1, 2), (0, 2, 3), (3, 4, 0), name=name)
    mesh = read_ply(make_ply(tmp_path / "a.ply", file_format, vertex_element(kind), faces))
    assert mesh.vertices.dtype == (np.float64 if exact else np.float32)
    np.testing.assert_array_equal(mesh.vertices, POINTS.astype(mesh.vertices.dtype))
    assert mesh.faces.dtype == np.int32
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [3, 4, 0]])
    assert mesh.colors is None


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("polygons", "triangles"),
    [
        ([(0, 1, 2, 3)], [(0, 1, 2), (0, 2, 3)]),
        ([(0, 1, 2, 3), (1, 2, 3, 4)], [(0, 1, 2), (0, 2, 3), (1, 2, 3), (1, 3, 4)]),
        (
            [(4, 3, 2), (0, 1, 2, 3), (1, 2, 3), (4, 0, 1, 2, 3)],
            [(4, 3, 2), (0, 1, 2), (0, 2, 3), (1, 2, 3), (4, 0, 1), (4, 1, 2), (4, 2, 3)],
        ),
        ([(0, 1), (0, 1, 2), (), (3,), (2, 3, 4)], [(0, 1, 2), (2, 3, 4)]),
        ([(0, 1)], np.empty((0, 3))),
    ],
)
def test_splits_polygons_as_fans(tmp_path, file_format, polygons, triangles):
    path = make_ply(tmp_path / "a.ply", file_format, vertex_element(), face_element(*polygons))
    np.testing.assert_array_equal(read_ply(path).faces, triangles)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("last", [(2, 3, 4), (0, 2, 3, 4)])
def test_reads_past_extra_properties_and_elements(tmp_path, file_format, last):
    rng = np.random.default_rng(0)
    grid = "range_grid", ["list uchar int vertex_indices"], [[[]], [[1]], [[2, 3]]]
    empty = "material", ["list uchar float weights", "int id"], []
    vertex = (
        "vertex",
        ["float x", "list ushort short ring", "float y", "double time", "float z", "ushort label"],
        [
            [x, rng.integers(-9, 9, i % 3).tolist(), y, i / 7, z, 65535 - i]
            for i, (x, y, z) in enumerate(POINTS.tolist())
        ],
    )
    face = (
        "face",
        ["uchar flags", "list uchar float texcoord", "list int uint vertex_indices", "char part"],
        [[7, [0.5] * 6, [0, 1, 2], -1], [8, [0.25] * 6, list(last), 3]],
    )
    camera = "camera", ["float view_px"], [[1.5]]
    path = make_ply(tmp_path / "a.ply", file_format, grid, empty, vertex, face, camera)
    mesh = read_ply(path)
    np.testing.assert_array_equal(mesh.vertices, POINTS.astype(np.float32))
    np.testing.assert_array_equal(mesh.faces[:2], [[0, 1, 2], last[:3]])
    assert len(mesh.faces) == len(last) - 1
    properties = read_ply_properties(path)
    assert list(properties) == ["time", "label"]
    assert [values.dtype for values in properties.values()] == [np.float64, np.uint16]
    np.testing.assert_array_equal(properties["time"], np.arange(5) / 7)
    np.testing.assert_array_equal(properties["label"], 65535 - np.arange(5))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("kind", "full"), [("uchar", 255), ("float", 1.0)])
def test_reads_colours(tmp_path, file_format, kind, full):
    rows = [[*point, 0, full, full / 255 * 200] for point in POINTS.tolist()]
    if kind == "uchar":
        rows = [[*row[:5], int(row[5])] for row in rows]
    names = [f"float {axis}" for axis in "xyz"] + [f"{kind} {c}" for c in ("red", "green", "blue")]
    path = make_ply(tmp_path / "a.ply", file_format, ("vertex", names, rows))
    mesh = read_ply(path)
    assert mesh.colors.dtype == np.uint8
    np.testing.assert_array_equal(mesh.colors, [[0, 255, 200]] * 5)
    assert mesh.faces.shape == (0, 3)
    assert read_ply_properties(path) == {}


def test_windows_line_ends_and_odd_ascii_layout(tmp_path):
    text = (
        "ply\r\nformat ascii 1.0\r\nobj_info x\r\nelement vertex 3\r\nproperty float x\r\n"
        "property float32 y\r\nproperty float z\r\nelement face 1\r\n"
        "property list uint8 int32 vertex_index\r\nend_header\r\n0 0 nan\r\n1e0 0 0 0 \r\n\r\n"
        "1 -inf\r\n3 0 1\t2"
    )
    (tmp_path / "a.ply").write_bytes(text.encode())
    mesh = read_ply(tmp_path / "a.ply")
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, np.nan], [1, 0, 0], [0, 1, -np.inf]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2]])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("coloured", [True, False])
def test_what_is_written_is_read_back(tmp_path, kind, coloured):
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 50, (80, 3)).astype(np.int32)
    colors = rng.integers(0, 256, (50, 3)).astype(np.uint8) if coloured else None
    mesh = TriangleMesh(rng.normal(size=(50, 3)).astype(kind), faces, colors)
    properties = {
        "source_vertex": rng.integers(-1, 50, 50).astype(np.int32),
        "label": rng.integers(0, 2**16, 50).astype(np.uint16),
        "height": rng.normal(size=50).astype(">f8"),
    }
    path = tmp_path / "a.ply"
    write_ply(path, mesh, properties)
    again = read_ply(path)
    assert again.vertices.dtype == kind
    np.testing.assert_array_equal(again.vertices, mesh.vertices)
    np.testing.assert_array_equal(again.faces, faces)
    np.testing.assert_array_equal(again.colors, colors)
    read = read_ply_properties(path)
    assert list(read) == list(properties)
    for name, values in properties.items():
        assert read[name].dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read[name], values)


def test_written_file_byte_by_byte(tmp_path):
    mesh = TriangleMesh(
        np.array([[1, 2, 3]], np.float32), np.array([[0, 0, 0]]), np.array([[7, 8, 9]], np.uint8)
    )
    write_ply(tmp_path / "a.ply", mesh, {"label": np.array([513], np.uint16)})
    header = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty ushort label\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = np.array([1, 2, 3], "<f4").tobytes() + bytes([7, 8, 9, 1, 2]) + bytes([3]) + bytes(12)
    assert (tmp_path / "a.ply").read_bytes() == header.encode() + body


def test_vertices_are_counted_from_the_header(tmp_path):
    mesh = TriangleMesh(np.eye(5, 3, dtype=np.float32), np.array([[0, 1, 2]]))
    path = tmp_path / "a.ply"
    write_ply(path, mesh)
    path.write_bytes(path.read_bytes()[:-30])
    assert count_vertices(path) == 5
    path.write_text("ply\nformat ascii 1.0\nend_header\n")
    assert count_vertices(path) == 0
    with pytest.raises(GeosetError, match=r"none\.ply: cannot be read \(No such file"):
        count_vertices(tmp_path / "none.ply")
    path.write_text("ply\n")
    with pytest.raises(GeosetError, match="its header has no end_header"):
        count_vertices(path)


def test_a_mesh_of_nothing_can_be_written(tmp_path):
    empty = TriangleMesh(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32))
    write_ply(tmp_path / "a.ply", empty)
    assert read_ply(tmp_path / "a.ply").vertices.shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("label", np.zeros(5, np.int64), "type int64, expected (5,) and at most 32-bit integers"),
        ("label", np.zeros(4, np.int32), "has shape (4,) and type int32, expected (5,)"),
        ("label", np.zeros(5, bool), "convert it with astype(np.int32)"),
        ("x", np.zeros(5, np.int32), "one ascii word that is not taken yet (x, y, z); rename it"),
        ("two words", np.zeros(5, np.int32), "vertex property 'two words' of"),
    ],
)
def test_properties_that_do_not_fit_are_refused(tmp_path, name, values, text):
    mesh = TriangleMesh(POINTS, np.array([[0, 1, 2]], np.int32))
    with pytest.raises(GeosetError, match=re.escape(text)):
        write_ply(tmp_path / "a.ply", mesh, {name: values})
    assert list(tmp_path.iterdir()) == []
