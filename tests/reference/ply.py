"""PLY files written number by number."""

import numpy as np

POINTS = np.array([[0, 0, 0], [1, 0, 0.1], [1, 1, 0.2], [0, 1, 0.3], [-1, 0.5, 1 / 3]])
FORMATS = ["ascii", "binary_little_endian", "binary_big_endian"]
STRUCT_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4"}
STRUCT_TYPES |= {"uint": "u4", "float": "f4", "double": "f8", "float64": "f8", "int32": "i4"}


def make_ply(path, file_format, *elements):
    """Write elements (name, properties, rows) number by number.

    A property is "type name" or "list count_type type name", its value in a row a number or a list.
    """
    header, body = ["ply", f"format {file_format} 1.0", "comment made by hand"], []
    order = ">" if file_format == "binary_big_endian" else "<"

    def put(kind, value):
        if file_format == "ascii":
            return f"{value!r} ".encode()
        return np.array(value, order + STRUCT_TYPES[kind]).tobytes()

    for name, properties, rows in elements:
        header += [f"element {name} {len(rows)}", *(f"property {p}" for p in properties)]
        for row in rows:
            for declared, value in zip(properties, row, strict=True):
                words = declared.split()
                if words[0] == "list":
                    body.append(put(words[1], len(value)))
                    body += [put(words[2], item) for item in value]
                else:
                    body.append(put(words[0], value))
            body.append(b"\n" if file_format == "ascii" else b"")
    path.write_bytes("\n".join([*header, "end_header\n"]).encode() + b"".join(body))
    return path


def vertex_element(kind="float", points=POINTS):
    return "vertex", [f"{kind} {axis}" for axis in "xyz"], points.tolist()


def face_element(*polygons, name="vertex_indices"):
    return "face", [f"list uchar int {name}"], [[list(polygon)] for polygon in polygons]
