import os
import re
from pathlib import Path

import numpy as np
import pytest

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.scans.detect import READERS, find_scans
from scan_folders import write_folder_scan, write_image, write_matrix, write_seven_scenes

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
FRAMES = ([np.full((30, 40, 3), 9, np.uint8)] * 3, [np.full((30, 40), 1.5)] * 3, [np.eye(4)] * 3)


class TestOpenScan:
    def test_layouts_are_told_apart(self, tmp_path):
        folders = open_scan(write_folder_scan(tmp_path / "a", *FRAMES, K))
        seven_scenes = open_scan(str(write_seven_scenes(tmp_path / "b", *FRAMES, K)))
        assert (folders.layout, seven_scenes.layout) == ("one folder a kind", "7-Scenes")
        assert (folders.name, seven_scenes.name) == ("a", "b")

    def test_missing_path(self, tmp_path):
        text = f"{tmp_path / 'nowhere'}: does not exist; give the folder (or file) of a scan"
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(tmp_path / "nowhere")

    def test_empty_folder(self, tmp_path):
        text = f"{tmp_path}: is empty; expected a scan in it, in one of these layouts:\n"
        with pytest.raises(GeosetError, match=re.escape(text)) as error:
            open_scan(tmp_path)
        self.check_formats(error)

    def test_unknown_layout(self, tmp_path):
        for name in "gfedcba":
            (tmp_path / name).touch()
        text = f"{tmp_path}: unknown layout (it holds a, b, c, d, e, ...); expected one of these"
        with pytest.raises(GeosetError, match=re.escape(text)) as error:
            open_scan(tmp_path)
        self.check_formats(error)

    @pytest.mark.parametrize(("name", "kind"), [("a.xyz", ".xyz"), ("README", "plain")])
    def test_unknown_file(self, tmp_path, name, kind):
        (tmp_path / name).touch()
        text = f"{tmp_path / name}: unknown layout (it holds a {kind} file); expected one of these"
        with pytest.raises(GeosetError, match=re.escape(text)) as error:
            open_scan(tmp_path / name)
        self.check_formats(error)

    def test_a_folder_that_may_not_be_read(self, tmp_path, monkeypatch):
        def refuse(path):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refuse)
        for read in (open_scan, find_scans):
            with pytest.raises(GeosetError, match=r"cannot be read \(.*Permission denied"):
                read(tmp_path)

    @staticmethod
    def check_formats(error):
        assert len(READERS) >= 2
        _, *lines, last = str(error.value).split("\n")
        assert [line.split("  ", 2)[1] for line in lines] == [reader.LAYOUT for reader in READERS]
        starts = {line.index(reader.LOOKS_FOR) for line, reader in zip(lines, READERS, strict=True)}
        assert len(starts) == 1  # aligned
        assert max(map(len, lines)) <= 100
        assert (
            last
            == "Frames of your own: export them as 'one folder a kind'. A folder of scans works too"
        )

    @pytest.mark.parametrize("spoilt", ["color", "pose"])
    def test_folders_need_colour_and_pose(self, tmp_path, spoilt):
        folder = write_folder_scan(tmp_path / "scan", *FRAMES, K)
        (folder / spoilt).rename(folder / "elsewhere")
        with pytest.raises(GeosetError, match="unknown layout"):
            open_scan(folder)

    def test_no_usable_frame(self, tmp_path):
        folder = write_folder_scan(tmp_path / "scan", *FRAMES, K)
        for name in ("000000", "000002"):
            write_matrix(folder / f"pose/{name}.txt", np.full((4, 4), np.nan))
        (folder / "color/000001.png").unlink()
        text = (
            f"{folder}: one folder a kind layout, but no usable frame "
            "(2 x pose has non-finite entries; 1 x no colour file)"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(folder)

    def test_no_frame(self, tmp_path):
        for name in ("color", "pose"):
            (tmp_path / name).mkdir()
        write_matrix(tmp_path / "intrinsics.txt", K)
        with pytest.raises(GeosetError, match=r"but no usable frame \(no frames at all\)"):
            open_scan(tmp_path)


class TestFindScans:
    def test_one_scan(self, tmp_path):
        for folder in (
            write_folder_scan(tmp_path / "a", *FRAMES, K),
            write_seven_scenes(tmp_path / "b", *FRAMES, K),
        ):
            assert find_scans(folder) == ([folder], [], [])
            assert find_scans(str(folder)) == ([folder], [], [])

    def test_folder_of_scans(self, tmp_path):
        write_seven_scenes(tmp_path / "b", *FRAMES, K)
        write_folder_scan(tmp_path / "c", *FRAMES, K)
        write_folder_scan(tmp_path / "a", *FRAMES, K, style="sens_reader")
        (tmp_path / "notes").mkdir()
        (tmp_path / "README").touch()
        scans = [tmp_path / name for name in "abc"]
        assert find_scans(tmp_path) == (scans, [tmp_path / "notes"], [])

    def test_a_folder_that_may_not_be_read_costs_no_other(self, tmp_path, monkeypatch):
        """Root may read all, so permission is refused by hand."""
        write_folder_scan(tmp_path / "open", *FRAMES, K)
        write_folder_scan(tmp_path / "shut", *FRAMES, K)

        def stat(path, *, follow_symlinks=True):
            if path.parent.name == "shut":
                raise PermissionError(13, "Permission denied")
            return os.stat(path, follow_symlinks=follow_symlinks)  # noqa: PTH116

        monkeypatch.setattr(Path, "stat", stat)
        found = find_scans(tmp_path)
        assert (found.scans, found.others) == ([tmp_path / "open"], [tmp_path / "shut"])

    def test_nothing_there(self, tmp_path):
        with pytest.raises(GeosetError, match=r"nowhere: does not exist"):
            find_scans(tmp_path / "nowhere")
        with pytest.raises(GeosetError, match=r"is empty; expected a scan in it"):
            find_scans(tmp_path)
        write_image(tmp_path / "pictures/a.png", FRAMES[0][0])
        text = f"{tmp_path}: unknown layout (it holds pictures); expected one of these layouts"
        with pytest.raises(GeosetError, match=re.escape(text)):
            find_scans(tmp_path)
