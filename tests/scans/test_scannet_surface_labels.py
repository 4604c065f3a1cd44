"""Labels that ScanNet brings for the vertices of a scene's mesh."""

import json

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from scan_formats.scannet import MESH, OBJECTS, SEGMENTS, write_scene, write_surface


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path / "scene0000_00")


class TestSurfaceLabels:
    def test_all_three(self, folder):
        classes = [5, 5, 0, 50, 40, 149]
        write_surface(folder, MESH, segments=SEGMENTS, objects=OBJECTS, classes=classes)
        for path in (folder, folder / "scene0000_00.sens"):
            scan = open_scan(path)
            assert len(scan.mesh.vertices) == 6
            found = {
                layer: (labels.read().tolist(), labels.scope, labels.source)
                for layer, labels in scan.surface_labels.items()
            }
            assert found == {
                "official": (SEGMENTS, "scene", "scene0000_00_vh_clean_2.0.010000.segs.json"),
                "instance": ([-1, -1, 3, 3, 8, 8], "scene", "scene0000_00.aggregation.json"),
                "semantic": (
                    [5, 5, -1, -1, 40, -1],
                    "global",
                    "scene0000_00_vh_clean_2.labels.ply",
                ),
            }
            assert scan.notes == [
                "layer 'semantic': 2 of 6 vertices have no class, being labelled 50, 149 in "
                "scene0000_00_vh_clean_2.labels.ply (expected 0 to 40)"
            ]
            dtypes = {labels.read().dtype for labels in scan.surface_labels.values()}
            assert dtypes == {np.dtype(np.int32)}

    def test_segments_of_two_objects_go_to_the_last(self, folder):
        objects = [*OBJECTS, (9, "desk", [700, 90000, 4])]  # there is no segment 4
        write_surface(folder, MESH, segments=SEGMENTS, objects=objects)
        labels = open_scan(folder).surface_labels["instance"].read()
        assert labels.tolist() == [9, 9, 3, 3, 9, 9]

    def test_of_another_mesh(self, folder):
        write_surface(folder, MESH, segments=SEGMENTS[:5], objects=OBJECTS, classes=[1] * 6)
        smaller = TriangleMesh(MESH.vertices[:3], MESH.faces[:1])
        write_ply(folder / "scene0000_00_vh_clean_2.ply", smaller)
        scan = open_scan(folder)
        assert (len(scan.frames), len(scan.mesh.vertices), scan.surface_labels) == (4, 3, {})
        mesh = folder / "scene0000_00_vh_clean_2.ply"
        segments = folder / "scene0000_00_vh_clean_2.0.010000.segs.json"
        objects = folder / "scene0000_00.aggregation.json"
        classes = folder / "scene0000_00_vh_clean_2.labels.ply"
        assert scan.notes == [
            f"layer 'official' is left out: {segments}: has 5 labels, but {mesh} 3 vertices",
            f"layer 'instance' is left out: {objects}: is made of the segments in "
            "..._vh_clean_2.0.010000.segs.json, which cannot be used",
            f"layer 'semantic' is left out: {classes}: has 6 labels, but {mesh} 3 vertices",
        ]

    def test_of_a_mesh_of_ones_own(self, folder):
        write_surface(folder, MESH, segments=SEGMENTS)
        write_ply(folder / "mesh.ply", TriangleMesh(MESH.vertices[:3], MESH.faces[:1]))
        scan = open_scan(folder)
        assert (len(scan.mesh.vertices), scan.surface_labels) == (3, {})
        (note,) = scan.notes
        assert note.endswith(f"has 6 labels, but {folder / 'mesh.ply'} 3 vertices")

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"\xff", b"no json", b"[" * 100_000, b"[]", b"7", b"{}", b"null",
            b'{"segIndices": 5}', b'{"segIndices": "000000"}', b'{"segIndices": [1, 2, 3.5]}',
            b'{"segIndices": [1, true]}', b'{"segIndices": [1, -1]}', b'{"segIndices": [[1], [2]]}',
            b'{"segIndices": [1, 2147483648]}', b'{"segIndices": [1, 99999999999999999999999999]}',
            b'{"segIndices": [1, NaN]}', b'{"segIndices": [1, null, {}]}',
        ],
    )  # fmt: skip
    def test_damaged_segments(self, folder, content):
        write_surface(folder, MESH, segments=SEGMENTS, objects=OBJECTS, classes=[1] * 6)
        file = folder / "scene0000_00_vh_clean_2.0.010000.segs.json"
        file.write_bytes(content)
        scan = open_scan(folder)
        assert (len(scan.frames), list(scan.surface_labels)) == (4, ["semantic"])
        assert scan.notes[0].startswith(f"layer 'official' is left out: {file}: ")
        assert len(scan.notes) == 2

    @pytest.mark.parametrize(
        "content",
        [
            "[]", "{}", '{"segGroups": 3}', '{"segGroups": [3]}', '{"segGroups": [{}]}',
            '{"segGroups": [{"objectId": 1}]}', '{"segGroups": [{"segments": [12]}]}',
            '{"segGroups": [{"objectId": "x", "segments": [12]}]}',
            '{"segGroups": [{"objectId": 1, "segments": ["x"]}]}',
        ],
    )  # fmt: skip
    def test_damaged_objects(self, folder, content):
        write_surface(folder, MESH, segments=SEGMENTS)
        (folder / "scene0000_00.aggregation.json").write_text(content)
        scan = open_scan(folder)
        assert list(scan.surface_labels) == ["official"]
        (note,) = scan.notes
        assert note.startswith(f"layer 'instance' is left out: {folder / 'scene0000_00.agg'}")
        json.loads(content)  # what is wrong is not that

    def test_damaged_classes(self, folder):
        write_surface(folder, MESH)
        write_ply(folder / "scene0000_00_vh_clean_2.labels.ply", MESH)
        (note,) = open_scan(folder).notes
        assert note.endswith("its vertices have no property 'label' of whole numbers")

    def test_a_damaged_mesh_is_found_when_it_is_read(self, folder):
        write_surface(folder, MESH, segments=SEGMENTS)
        (folder / "scene0000_00_vh_clean_2.ply").write_bytes(b"ply\n")
        scan = open_scan(folder)
        assert (len(scan.frames), scan.surface_labels, len(scan.notes)) == (4, {}, 1)
        with pytest.raises(GeosetError, match="not a usable PLY file"):
            assert scan.mesh
