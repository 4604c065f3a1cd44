"""ScanNet's zipped label images."""

import re
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile

import numpy as np
import psutil
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from scan_folders import write_folder_scan
from scan_formats.scannet import (
    MESH,
    K,
    pictures,
    write_label_table,
    write_label_zip,
    write_scene,
    write_surface,
)


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path / "scene0000_00")


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

    def test_archives_are_open_only_where_labels_are_read(self, zips):
        """Thousands of scans are looked at in one process."""
        write_label_table(zips / "scannetv2-labels.combined.tsv", self.TABLE)
        scan = open_scan(zips)

        def archives():
            names = [Path(file.path).name for file in psutil.Process().open_files()]
            return [name for name in names if name.endswith(".zip")]

        assert archives() == []
        scan.frames[0].read_labels["instance"]()
        assert archives() == ["scene0000_00_2d-instance.zip"]

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

    @pytest.mark.parametrize("kind", ["label", "instance"])
    def test_those_that_scannet_cleaned_count(self, folder, kind):
        write_label_table(folder / "scannetv2-labels.combined.tsv", self.TABLE)
        for name, raw_id in ((kind, 1), (f"{kind}-filt", 5)):
            images = dict.fromkeys(range(4), np.full((30, 40), raw_id))
            write_label_zip(folder / f"scene0000_00_2d-{name}.zip", images)
        layer, expected = {"label": ("semantic", 8), "instance": ("instance", 5)}[kind]
        assert (open_scan(folder).frames[0].label(layer) == expected).all()

    @pytest.mark.parametrize("style", ["sens_reader", "frames_25k"])
    def test_an_export_gets_them_instead_of_its_own(self, zips, style):
        """Of frame 2, too, whose own would be of other numbers."""
        (zips / "scene0000_00.sens").unlink()
        own = np.full((4, 30, 40), 3)
        write_folder_scan(zips, *pictures(), K, style=style, labels=own, instances=own)
        write_surface(zips, MESH)
        write_label_table(zips / "scannetv2-labels.combined.tsv", self.TABLE)
        scan = open_scan(zips)
        assert scan.notes == []
        expected = np.zeros(1200, np.uint16)
        expected[[0, 4, 1162]] = 1, 8, 40
        np.testing.assert_array_equal(scan.frames[1].label("semantic").ravel(), expected)
        np.testing.assert_array_equal(scan.frames[1].label("instance"), self.RAW % 7)
        assert list(scan.frames[2].read_labels) == ["instance"]

    def test_an_archive_without_images_replaces_none(self, zips):
        (zips / "scene0000_00.sens").unlink()
        own = np.full((4, 30, 40), 3)
        write_folder_scan(zips, *pictures(), K, style="frames_25k", labels=own)
        write_label_zip(zips / "scene0000_00_2d-label-filt.zip", {})
        write_label_table(zips / "scannetv2-labels.combined.tsv", self.TABLE)
        np.testing.assert_array_equal(open_scan(zips).frames[1].label("semantic"), own[1])

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


class TestLabelFolder:
    """`label/` of an export: raw ids where the archive was unpacked, nyu40 in frames_25k."""

    TABLE = ((1, "wall", 1), (5, "door", 8), (39, "tv stand", 40), (1163, "object", 40))
    RAW = np.array([0, 5, 39, 1163])[np.arange(1200) % 4].reshape(30, 40)
    NYU40 = np.array([0, 8, 40, 40])[np.arange(1200) % 4].reshape(30, 40)

    @pytest.fixture
    def scene(self, tmp_path):
        return tmp_path / "scans/scene0000_00"

    def write(self, path, raw=RAW, style="sens_reader"):
        labels = [np.ones((30, 40), int), raw, raw, raw]
        return write_folder_scan(path, *pictures(), K, style=style, labels=labels)

    @pytest.mark.parametrize("mesh", [False, True])
    @pytest.mark.parametrize("style", ["sens_reader", "plain"])
    def test_raw_ids_are_mapped(self, scene, mesh, style):
        self.write(scene, style=style)
        if mesh:
            write_surface(scene, MESH)
        table = scene.parent / "scannetv2-labels.combined.tsv"
        write_label_table(table, self.TABLE)
        scan = open_scan(scene)
        assert scan.layout == "ScanNet"
        np.testing.assert_array_equal(scan.frames[2].label("semantic"), self.NYU40)
        assert scan.notes == [
            f"ids in label/ are taken for ScanNet's raw ones, mapped to nyu40 by {table.resolve()}"
        ]

    def test_of_a_folder_that_is_called_otherwise(self, tmp_path):
        """Only SensReader writes intrinsic/intrinsic_color.txt."""
        write_label_table(tmp_path / "scannetv2-labels.combined.tsv", self.TABLE)
        scan = open_scan(self.write(tmp_path / "kitchen"))
        np.testing.assert_array_equal(scan.frames[2].label("semantic"), self.NYU40)

    def test_nyu40_ids_stay(self, scene):
        """The table is for other scenes: those of frames_25k are mapped."""
        self.write(scene, raw=self.NYU40, style="frames_25k")
        write_label_table(scene.parent / "scannetv2-labels.combined.tsv", self.TABLE)
        scan = open_scan(scene)
        np.testing.assert_array_equal(scan.frames[2].label("semantic"), self.NYU40)
        assert (scan.layout, scan.notes) == ("ScanNet", [])

    def test_without_the_table_ids_to_40_stay(self, scene):
        scan = open_scan(self.write(scene, raw=self.NYU40))
        np.testing.assert_array_equal(scan.frames[2].label("semantic"), self.NYU40)
        assert scan.notes == []

    def test_without_the_table_raw_ids_are_left_out(self, scene):
        (self.write(scene) / "label/2.png").write_bytes(b"")
        scan = open_scan(scene)
        assert [list(frame.read_labels) for frame in scan.frames] == [[]] * 4
        assert scan.notes == [
            "semantic label images are left out: label/ holds ScanNet's raw ids, but "
            f"{scene}: no scannetv2-labels.combined.tsv in it or above it, which says what their "
            "ids mean; it comes with ScanNet: put it there"
        ]

    def test_a_damaged_table_says_nothing(self, scene):
        self.write(scene, raw=self.NYU40)
        (scene / "scannetv2-labels.combined.tsv").write_bytes(b"\xff")
        scan = open_scan(scene)
        assert not scan.frames[2].read_labels
        assert "scannetv2-labels.combined.tsv: cannot be read" in scan.notes[0]

    def test_of_others_is_left_alone(self, tmp_path):
        write_label_table(tmp_path / "scannetv2-labels.combined.tsv", self.TABLE)
        for style in ("plain", "frames_25k"):
            scan = open_scan(self.write(tmp_path / f"kitchen-{style}", style=style))
            assert (scan.layout, scan.notes) == ("one folder a kind", [])
            np.testing.assert_array_equal(scan.frames[2].label("semantic"), self.RAW)
