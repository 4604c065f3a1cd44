"""A scene of ScanNet: where its frames are from, and masks."""

import re

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.scans.detect import find_scans
from scan_folders import write_folder_scan, write_image
from scan_formats.scannet import MESH, SEGMENTS, K, pictures, write_scene, write_surface
from scan_formats.sens import write_sens


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path / "scene0000_00")


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
