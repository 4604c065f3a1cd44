"""COLMAP's text model."""

import numpy as np
import pytest

from geoset import GeosetError
from geoset.scans.colmap import read_cameras, read_images
from geoset.scans.distortion import Distortion
from reference.empty_room import walk_around
from scan_formats.colmap import write_colmap

POSES = walk_around(np.array([4.0, 3.0, 2.5]), 4)


@pytest.fixture
def folder(tmp_path):
    names = [f"frame {k}.jpg" for k in range(4)]
    return write_colmap(tmp_path, {1: "PINHOLE 640 480 500 510 320.5 240"}, names, POSES)


class TestCameras:
    @pytest.mark.parametrize(
        ("line", "focal", "radial", "tangential"),
        [
            ("SIMPLE_PINHOLE 640 480 500 320 240", (500, 500), (0, 0), (0, 0)),
            ("PINHOLE 640 480 500 510 320 240", (500, 510), (0, 0), (0, 0)),
            ("SIMPLE_RADIAL 640 480 500 320 240 0.1", (500, 500), (0.1, 0), (0, 0)),
            ("RADIAL 640 480 500 320 240 0.1 0.2", (500, 500), (0.1, 0.2), (0, 0)),
            ("OPENCV 640 480 500 510 320 240 .1 .2 .3 .4", (500, 510), (0.1, 0.2), (0.3, 0.4)),
        ],
    )
    def test_models(self, tmp_path, line, focal, radial, tangential):
        write_colmap(tmp_path, {7: line}, [], [], [])
        (camera_id, lens), *others = read_cameras(tmp_path / "cameras.txt").items()
        assert (camera_id, others) == ("7", [])
        K = [[focal[0], 0, 320], [0, focal[1], 240], [0, 0, 1]]
        assert lens.camera.K.tolist() == K
        assert (lens.camera.width, lens.camera.height) == (640, 480)
        assert lens.distortion == Distortion(radial, tangential)

    @pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "FULL_OPENCV", "none"])
    def test_other_models_are_refused_by_name(self, tmp_path, model):
        line = f"{model} 640 480 500 510 320 240" if model != "none" else ""
        write_colmap(tmp_path, {1: line}, [], [], [])
        text = f"cameras.txt, line 4: camera model {model} is not read, only SIMPLE_PINHOLE, PINH"
        with pytest.raises(GeosetError, match=text):
            read_cameras(tmp_path / "cameras.txt")

    def test_too_few_numbers(self, tmp_path):
        write_colmap(tmp_path, {1: "PINHOLE 640 480 500"}, [], [], [])
        text = "cameras.txt, line 4: expected an id, PINHOLE, width, height, fx, fy, cx, cy"
        with pytest.raises(GeosetError, match=text):
            read_cameras(tmp_path / "cameras.txt")

    def test_no_numbers(self, tmp_path):
        write_colmap(tmp_path, {1: "PINHOLE 640 480 500 x 320 240"}, [], [], [])
        with pytest.raises(GeosetError, match=r"cameras.txt, line 4: expected numbers fx, fy > 0"):
            read_cameras(tmp_path / "cameras.txt")

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
    def test_no_text(self, tmp_path, content):
        if content:
            (tmp_path / "cameras.txt").write_bytes(content)
        with pytest.raises(GeosetError, match=r"cameras.txt: (file is missing|cannot be read)"):
            read_cameras(tmp_path / "cameras.txt")


class TestImages:
    def test_round_trip(self, folder):
        images, rejected = read_images(folder / "images.txt")
        assert rejected == []
        assert [image.name for image in images] == [f"frame {k}.jpg" for k in range(4)]
        assert {image.camera_id for image in images} == {"1"}
        for image, pose in zip(images, POSES, strict=True):
            np.testing.assert_allclose(image.world_from_camera, pose, atol=1e-12)

    def test_worked_by_hand(self, tmp_path):
        # A quarter turn about z takes the world's x to the camera's y; then (1, 2, 3) is added.
        # The world's origin is at (1, 2, 3), so the camera is at -R^T (1, 2, 3) = (-2, 1, -3).
        half = np.sqrt(0.5)
        (tmp_path / "images.txt").write_text(f"1 {half} 0 0 {half} 1 2 3 1 a.jpg\n\n")
        ((image,), _) = read_images(tmp_path / "images.txt")
        expected = [[0, 1, 0, -2], [-1, 0, 0, 1], [0, 0, 1, -3], [0, 0, 0, 1]]
        np.testing.assert_allclose(image.world_from_camera, expected, atol=1e-12)

    @pytest.mark.parametrize("numbers", ["0 0 0 0 1 2 3", "1 0 x 0 1 2 3", "nan 0 0 0 1 2 3"])
    def test_no_pose(self, tmp_path, numbers):
        (tmp_path / "images.txt").write_text(f"1 {numbers} 1 a.jpg\n\n")
        ((image,), _) = read_images(tmp_path / "images.txt")
        assert not np.isfinite(image.world_from_camera).all()

    def test_a_line_that_is_cut(self, folder):
        text = (folder / "images.txt").read_text()
        (folder / "images.txt").write_text(text[: text.rindex(" 1 frame 3")])
        images, rejected = read_images(folder / "images.txt")
        assert len(images) == 3
        assert rejected == [("line 10", "unreadable line of images.txt")]

    def test_missing(self, tmp_path):
        with pytest.raises(GeosetError, match=r"images.txt: file is missing"):
            read_images(tmp_path / "images.txt")
