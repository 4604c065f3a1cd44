"""A scene of ScanNet: its frames and what lies beside them."""

import json
import re
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.scans.detect import find_scans
from scan_folders import write_folder_scan, write_image
from scan_formats.scannet import write_label_table, write_label_zip, write_surface
from scan_formats.sens import write_sens

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
# Six vertices in three segments; two objects, one of two segments.
MESH = TriangleMesh(
    np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0]]),
    np.int32([[0, 1, 2], [3, 4, 5]]),
)
SEGMENTS = [700, 700, 12, 12, 90000, 90000]
OBJECTS = [(3, "chair", [12]), (8, "table", [90000])]


def pictures(count=4):
    images = [np.full((30, 40, 3), 50 * k, np.uint8) for k in range(count)]
    depths = [np.full((30, 40), 1000 + k, np.uint16) for k in range(count)]
    return images, depths, [np.eye(4) + k * np.eye(4, k=3) for k in range(count)]


@pytest.fixture
def folder(tmp_path):
    """A scene with a .sens file of four frames."""
    write_sens(tmp_path / "scene0000_00/scene0000_00.sens", *pictures(), K)
    return tmp_path / "scene0000_00"


class TestFrames:
    def test_of_the_sens_file(self, folder):
        for path in (folder, folder / "scene0000_00.sens"):
            scan = open_scan(path)
            assert (scan.layout, scan.name) == ("ScanNet", "scene0000_00")
            assert len(scan.frames) == 4
            assert scan.full_rate
            assert scan.mesh is None
            assert (scan.surface_labels, scan.notes) == ({}, [])

    @pytest.mark.parametrize("style", ["sens_reader", "frames_25k"])
    def test_of_an_export(self, tmp_path, style):
        labels = np.full((4, 30, 40), 7)
        folder = write_folder_scan(
            tmp_path / "scene0000_00", *pictures(), K, style=style, labels=labels
        )
        write_surface(folder, MESH, segments=SEGMENTS)
        scan = open_scan(folder)
        assert (scan.layout, len(scan.frames), scan.full_rate) == ("ScanNet", 4, False)
        assert scan.frames[3].label("semantic").tolist() == labels[3].tolist()
        assert list(scan.surface_labels) == ["official"]

    def test_of_an_export_of_the_whole_video(self, tmp_path):
        tiny = [np.zeros((3, 4, 3), np.uint8)], [np.ones((3, 4))], [np.eye(4)]
        K = np.array([[4.0, 0, 1.5], [0, 4, 1], [0, 0, 1]])
        folder = write_folder_scan(
            tmp_path / "scene0000_00", *(k * 300 for k in tiny), K, style="sens_reader"
        )
        write_surface(folder, MESH)
        assert open_scan(folder).full_rate

    def test_the_sens_file_is_preferred(self, folder):
        write_folder_scan(folder, *pictures(2), K, style="sens_reader")
        scan = open_scan(folder)
        assert len(scan.frames) == 4
        assert scan.notes == [
            "frames are those of scene0000_00.sens; color/, depth/ and pose/ are not read"
        ]

    def test_none(self, tmp_path):
        (tmp_path / "scene0000_00").mkdir()
        write_surface(tmp_path / "scene0000_00", MESH)
        text = "has a mesh of ScanNet, but no frames; expected one .sens file, or color/, depth/"
        with pytest.raises(GeosetError, match=text):
            open_scan(tmp_path / "scene0000_00")

    def test_a_folder_of_files_is_a_folder_of_scans(self, folder, tmp_path):
        write_sens(folder / "scene0000_01.sens", *pictures(), K)
        (folder / "notes").mkdir()
        found = find_scans(folder)
        assert found.scans == [folder / "scene0000_00.sens", folder / "scene0000_01.sens"]
        assert found.others == [folder / "notes"]
        assert [open_scan(path).name for path in found.scans] == ["scene0000_00", "scene0000_01"]
        (folder / "scannetv2_train.txt").write_text("scene0000_01\n")
        assert find_scans(folder).scans == [folder / "scene0000_01.sens"]
        write_folder_scan(folder / "scene0000_01", *pictures(), K)
        text = f"{folder / 'scene0000_01'} and {folder / 'scene0000_01.sens'}: two scans of one"
        with pytest.raises(GeosetError, match=re.escape(text)):
            find_scans(folder)


class TestMasks:
    @pytest.mark.parametrize("name", ["2.png", "000002.jpg"])
    def test_by_the_number_of_the_frame(self, folder, name):
        mask = np.zeros((60, 80, 3), np.uint8)
        mask[:20] = 255
        write_image(folder / "mask" / name, mask)
        write_image(folder / "mask/thumbnail.png", mask)
        scan = open_scan(folder / "scene0000_00.sens")
        assert [frame.read_mask is not None for frame in scan.frames] == [False, False, True, False]
        assert scan.frames[2].masked(30, 40).sum() >= 10 * 40
        assert not scan.frames[2].depth()[:10].any()
        assert scan.frames[2].depth()[12:].all()

    def test_not_when_they_could_be_of_several_files(self, folder):
        write_sens(folder / "scene0000_01.sens", *pictures(), K)
        write_image(folder / "mask/2.png", np.full((30, 40, 3), 255, np.uint8))
        scan = open_scan(folder / "scene0000_00.sens")
        assert all(frame.read_mask is None for frame in scan.frames)
        assert scan.notes == [
            f"{folder / 'mask'} is not used, for it could be of any of the .sens files beside it; "
            "give each a folder of its own"
        ]


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


class TestLabelImages:
    RAW = np.arange(1200).reshape(30, 40)
    TABLE = ((1, "wall", 1), (5, "door", 8), (1163, "object", 40))

    @pytest.fixture
    def zips(self, folder):
        """Frame 2 has no classes; the uncleaned ones are not to be used."""
        files = {
            "label-filt": {k: self.RAW + k for k in (0, 1, 3)},
            "label": dict.fromkeys(range(4), self.RAW * 0),
            "instance": dict.fromkeys(range(4), self.RAW % 7),
        }
        for kind, images in files.items():
            write_label_zip(folder / f"scene0000_00_2d-{kind}.zip", images)
        return folder

    @pytest.mark.parametrize("place", [".", "..", "../.."])
    def test_read(self, zips, place, tmp_path):
        scenes = tmp_path / "scans/more"
        scenes.mkdir(parents=True)
        folder = zips.rename(scenes / zips.name)
        write_label_table(folder / place / "scannetv2-labels.combined.tsv", self.TABLE)
        for path in (folder, folder / "scene0000_00.sens"):
            scan = open_scan(path)
            assert scan.notes == []
            assert [sorted(frame.read_labels) for frame in scan.frames] == [
                ["instance", "semantic"],
                ["instance", "semantic"],
                ["instance"],
                ["instance", "semantic"],
            ]
            expected = np.zeros(1200, np.uint16)
            expected[[0, 4, 1162]] = 1, 8, 40  # pixels whose raw id is 1, 5, 1163 in frame 1
            np.testing.assert_array_equal(scan.frames[1].label("semantic").ravel(), expected)
            np.testing.assert_array_equal(scan.frames[2].label("instance"), self.RAW % 7)

    def test_an_export_gets_them_too_and_keeps_its_own(self, zips):
        (zips / "scene0000_00.sens").unlink()
        own = np.full((4, 30, 40), 3)
        write_folder_scan(zips, *pictures(), K, style="sens_reader", labels=own)
        write_surface(zips, MESH)
        write_label_table(zips / "scannetv2-labels.combined.tsv", self.TABLE)
        frame = open_scan(zips).frames[1]
        np.testing.assert_array_equal(frame.label("semantic"), own[1])
        np.testing.assert_array_equal(frame.label("instance"), self.RAW % 7)

    def test_without_the_table_classes_are_left_out(self, zips):
        scan = open_scan(zips)
        assert list(scan.frames[0].read_labels) == ["instance"]
        (note,) = scan.notes
        assert note.startswith(
            f"semantic label images are left out: {zips}: no scannetv2-labels.combined.tsv in it or"
        )

    @pytest.mark.parametrize(
        "table", [b"\xff", b"id\tname\n1\twall\n", b"id\tnyu40id\nx\t1\n",
                  b"id\tnyu40id\n65536\t1\n", b"id\tnyu40id\n1\t99999\n", b"id\tnyu40id\n1\n\n2"]
    )  # fmt: skip
    def test_damaged_table(self, zips, table):
        file = zips / "scannetv2-labels.combined.tsv"
        file.write_bytes(table)
        scan = open_scan(zips)
        if table.endswith(b"2"):  # short rows say nothing of their id
            assert scan.notes == []
        else:
            assert scan.notes[0].startswith(
                f"semantic label images are left out: {file}: cannot be read"
            )

    def test_damaged_archive(self, zips):
        file = zips / "scene0000_00_2d-instance.zip"
        data = file.read_bytes()
        file.write_bytes(data[:-30])
        scan = open_scan(zips)
        assert scan.notes[1].startswith(
            f"instance label images are left out: {file}: cannot be read"
        )
        start = data.index(b"instance/0.png") + 20
        file.write_bytes(data[:start] + bytes(40) + data[start + 40 :])
        scan = open_scan(zips)
        with pytest.raises(GeosetError, match=re.escape(f"{file}/instance/0.png: cannot be read")):
            scan.frames[0].label("instance")

    def test_compression_without_bounds(self, zips):
        file = zips / "scene0000_00_2d-instance.zip"
        with ZipFile(file, "w", ZIP_BZIP2) as archive:
            archive.writestr("0.png", bytes(10**6))
        with pytest.raises(GeosetError, match="is neither stored nor deflated"):
            open_scan(zips).frames[0].label("instance")

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="lists open files by /proc")
    def test_archives_are_closed_with_the_scan(self, zips):
        scan = open_scan(zips)
        assert scan.frames[0].label("instance").any()
        file = (zips / "scene0000_00_2d-instance.zip").resolve()
        links = list(Path("/proc/self/fd").iterdir())
        assert file in [link.readlink() for link in links if link.is_symlink()]
        del scan
        links = list(Path("/proc/self/fd").iterdir())
        assert file not in [link.readlink() for link in links if link.is_symlink()]
