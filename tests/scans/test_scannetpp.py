"""What is particular to ScanNet++."""

import re

import numpy as np
import pytest

from geoset import GeosetError, open_scan
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from reference.empty_room import walk_around
from scan_formats.nerfstudio import edit_json
from scan_formats.scannetpp import write_dslr, write_iphone, write_mesh

CAMERA = Camera(np.array([[60.0, 0, 40.25], [0, 61, 29.75], [0, 0, 1]]), 80, 60)
POSES = walk_around(np.array([4.0, 3.0, 2.5]), 3)
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
IMAGES = [np.full((60, 80, 3), 50 * k, np.uint8) for k in range(3)]
DEPTHS = [np.full((15, 20), 1000 + k, np.uint16) for k in range(3)]
MASKS = [np.arange(80)[None] < [[10 * k]] * 60 for k in range(3)]


@pytest.fixture
def iphone(tmp_path):
    return write_iphone(tmp_path / "0a5c013435", IMAGES, DEPTHS, POSES, CAMERA, masks=MASKS)


@pytest.fixture
def dslr(tmp_path):
    return write_dslr(tmp_path / "0a5c013435", IMAGES, POSES, CAMERA, masks=MASKS)


def test_the_mesh_is_that_of_the_scanner_or_ones_own(iphone):
    assert open_scan(iphone).mesh is None
    write_ply(iphone / "mesh.ply", TriangleMesh(TRIANGLE.vertices + 1, TRIANGLE.faces))
    np.testing.assert_array_equal(open_scan(iphone).mesh.vertices, TRIANGLE.vertices + 1)
    mesh = open_scan(write_mesh(iphone, TRIANGLE)).mesh
    np.testing.assert_array_equal(mesh.vertices, TRIANGLE.vertices)


class TestIphone:
    def test_frames(self, iphone):
        scan = open_scan(iphone)
        assert [frame.name for frame in scan.frames] == [f"frame_{k:06d}" for k in (0, 10, 20)]
        assert scan.frames[2].depth().max() == np.float32(1.002)
        assert scan.notes == []
        assert not scan.full_rate

    def test_black_in_the_mask_is_not_used(self, iphone):
        for k, frame in enumerate(open_scan(iphone).frames):
            np.testing.assert_array_equal(frame.masked(60, 80), MASKS[k])

    def test_distortion_is_undone(self, tmp_path):
        depth = np.full((60, 80), 1000, np.uint16)
        scan = open_scan(
            write_iphone(tmp_path, IMAGES, [depth] * 3, POSES, CAMERA, distortion=(0.3, 0, 0, 0))
        )
        assert scan.notes == ["lens distortion is undone as images are read"]
        lost = scan.frames[2].masked(60, 80)
        assert 0 < lost.mean() < 0.3  # corners
        assert lost[0, 0]
        np.testing.assert_array_equal(scan.frames[2].depth() == 0, lost)

    def test_without_depth(self, tmp_path):
        scan = open_scan(write_iphone(tmp_path, IMAGES, None, POSES, CAMERA))
        assert scan.frames[0].read_depth is None

    def test_missing_frames_and_cameras(self, iphone):
        (iphone / "iphone/rgb/frame_000000.jpg").unlink()
        (iphone / "iphone/depth/frame_000010.png").unlink()
        file = iphone / "iphone/colmap/images.txt"
        file.write_text(file.read_text().replace(" 1 frame_000020", " 2 frame_000020"))
        text = "1 x no camera of its id; 1 x no colour file; 1 x no depth file"
        with pytest.raises(GeosetError, match=text):
            open_scan(iphone)

    def test_a_name_that_no_file_can_have(self, iphone):
        file = iphone / "iphone/colmap/images.txt"
        file.write_text(file.read_text().replace("frame_000010", "x" * 5000))
        scan = open_scan(iphone)
        assert scan.rejected == [("x" * 5000, "unreadable colour file")]

    def test_an_image_twice(self, iphone):
        file = iphone / "iphone/colmap/images.txt"
        lines = file.read_text().splitlines()
        file.write_text("\n".join([*lines, *lines[3:5]]))
        scan = open_scan(iphone)
        assert len(scan.frames) == 3
        assert scan.rejected == [("frame_000000", "second frame of its name")]


class TestDslr:
    def test_frames(self, dslr):
        scan = open_scan(dslr)
        assert [frame.name for frame in scan.frames] == ["DSC00100", "DSC00101", "DSC00102"]
        assert scan.frames[0].read_depth is None
        assert scan.notes == ["DSLR images have no depth: the mesh alone says what they see"]
        for k, frame in enumerate(scan.frames):
            np.testing.assert_allclose(frame.world_from_camera, POSES[k], atol=1e-12)
            np.testing.assert_array_equal(frame.camera.K, CAMERA.K)
            np.testing.assert_array_equal(frame.masked(60, 80), MASKS[k])
            assert np.abs(frame.image().astype(int) - 50 * k).max() <= 2

    def test_those_of_the_iphone_come_first(self, dslr):
        write_iphone(dslr, IMAGES, DEPTHS, POSES, CAMERA)
        scan = open_scan(dslr)
        assert scan.frames[0].name == "frame_000000"
        assert scan.notes == [
            "frames of the iPhone are read; to read the DSLR's instead, move iphone/ elsewhere"
        ]

    def test_fisheye_is_refused(self, tmp_path):
        folder = write_dslr(tmp_path, IMAGES, POSES, CAMERA, undistorted=False)
        text = (
            f"{folder}: holds neither iphone/rgb/ nor dslr/undistorted_images/. Extract the frames "
            "of the iPhone (python -m iphone.prepare_iphone_data of the ScanNet++ toolkit), or "
            "undistort the DSLR's fisheye images (python -m dslr.undistort)"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(folder)

    def test_camera_of_the_fisheye_images(self, dslr):
        file = dslr / "dslr/nerfstudio/transforms_undistorted.json"
        edit_json(file, lambda c: {**c, "camera_model": "OPENCV_FISHEYE"})
        with pytest.raises(GeosetError, match="camera model OPENCV_FISHEYE is not read"):
            open_scan(dslr)

    @pytest.mark.parametrize("content", ["", "[]"])
    def test_no_camera(self, dslr, content):
        file = dslr / "dslr/nerfstudio/transforms_undistorted.json"
        file.write_text(content)
        text = "transforms_undistorted.json: (cannot be read|expected an object with fl_x)"
        with pytest.raises(GeosetError, match=text):
            open_scan(dslr)
