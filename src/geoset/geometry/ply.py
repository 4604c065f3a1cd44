"""Triangle meshes in PLY files."""

from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply_tables import Column, bad_ply, count_rows, read_tables

WRITTEN_TYPES = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort",
    "i4": "int", "u4": "uint", "f4": "float", "f8": "double",
}  # fmt: skip
POSITION, COLOR = ("x", "y", "z"), ("red", "green", "blue")


def read_ply(path: str | Path) -> TriangleMesh:
    """Read a mesh; polygons are split as fans, and faces of fewer than three corners left out.

    Vertices are float32 or float64 as in the file, colours given as floats are taken as 0..1.
    Faces are not checked against the vertices (`drop_bad_faces` does); a point cloud has none.

    Raises:
        GeosetError: the file is missing, truncated, malformed, or has no vertex positions.
    """
    path = Path(path)
    tables = read_tables(path)
    vertex = _scalars(tables["vertex"])
    missing = [name for name in POSITION if name not in vertex]
    if missing:
        raise bad_ply(path, f"vertices have no property {', '.join(missing)}")
    positions = [vertex[name] for name in POSITION]
    exact = any(column.dtype.itemsize > 4 for column in positions)
    vertices = np.stack(positions, axis=1, dtype=np.float64 if exact else np.float32)
    colors = None
    if all(name in vertex for name in COLOR):
        colors = np.stack([_bytes_of_color(vertex[name]) for name in COLOR], axis=1)
    if "face" not in tables:
        return TriangleMesh(vertices, np.empty((0, 3), np.int32), colors)
    corners = tables["face"].get("vertex_indices", tables["face"].get("vertex_index"))
    if corners is None or corners.lengths is None or corners.values.dtype.kind == "f":
        raise bad_ply(path, "faces have no integer list vertex_indices or vertex_index")
    return TriangleMesh(vertices, _split_fans(corners), colors)


def count_vertices(path: str | Path) -> int:
    """Return how many vertices a mesh has, from the header of its file alone.

    Raises:
        GeosetError: the file is missing, or its header is malformed.
    """
    return count_rows(Path(path)).get("vertex", 0)


def read_ply_properties(path: str | Path) -> dict[str, np.ndarray]:
    """Read what vertices carry beside position and colour (labels, say): (V,) arrays by name.

    Raises:
        GeosetError: the file is missing, truncated or malformed.
    """
    vertex = _scalars(read_tables(Path(path))["vertex"])
    return {n: np.array(values) for n, values in vertex.items() if n not in POSITION + COLOR}


def write_ply(
    path: str | Path, mesh: TriangleMesh, properties: dict[str, np.ndarray] | None = None
) -> None:
    """Write a binary little-endian PLY; any mesh viewer opens it.

    Args:
        path: the file
        mesh: vertices keep their float type
        properties: further (V,) arrays of vertices by name, of up to 32-bit integers or floats

    Raises:
        GeosetError: a property does not fit the format or the mesh.
        OSError: the file cannot be written.
    """
    rows = _vertex_rows(path, mesh, properties or {})
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(rows)}",
        *(
            f"property {WRITTEN_TYPES[rows.dtype[name].str[1:]]} {name}"
            for name in rows.dtype.names
        ),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with Path(path).open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        rows.tofile(file)
        faces.tofile(file)


def _vertex_rows(
    path: str | Path, mesh: TriangleMesh, properties: dict[str, np.ndarray]
) -> np.ndarray:
    """Return (V,) packed little-endian rows of positions, colours and `properties`."""
    columns = dict(zip(POSITION, mesh.vertices.T, strict=True))
    if mesh.colors is not None:
        columns |= dict(zip(COLOR, mesh.colors.T, strict=True))
    for name, values in properties.items():
        if name in columns or name.split() != [name] or not name.isascii():
            raise GeosetError(
                f"vertex property '{name}' of {path}: expected one ascii word that is not taken "
                f"yet ({', '.join(columns)}); rename it"
            )
        if values.shape != (len(mesh.vertices),) or values.dtype.str[1:] not in WRITTEN_TYPES:
            raise GeosetError(
                f"vertex property '{name}' of {path} has shape {values.shape} and type "
                f"{values.dtype}, expected ({len(mesh.vertices)},) and at most 32-bit integers or "
                "floats; convert it with astype(np.int32)"
            )
        columns[name] = values
    rows = np.empty(
        len(mesh.vertices),
        [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()],
    )
    for name, values in columns.items():
        rows[name] = values
    return rows


def _scalars(columns: dict[str, Column]) -> dict[str, np.ndarray]:
    return {name: column.values for name, column in columns.items() if column.lengths is None}


def _bytes_of_color(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        values = np.rint(np.nan_to_num(values) * 255)
    return np.clip(values, 0, 255).astype(np.uint8)


def _split_fans(corners: Column) -> np.ndarray:
    """Return (F,3) int32 triangles (0,1,2), (0,2,3), ... of polygons, in their order."""
    indices = corners.values.astype(np.int32)  # what wraps around stays out of range
    if (corners.lengths == 3).all():
        return indices.reshape(-1, 3)
    lengths = corners.lengths.astype(np.int64)
    triangles = np.maximum(lengths - 2, 0)
    first = np.repeat(np.cumsum(lengths) - lengths, triangles)
    second = first + 1 + np.arange(len(first))
    second -= np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.stack([indices[first], indices[second], indices[second + 1]], axis=1)
