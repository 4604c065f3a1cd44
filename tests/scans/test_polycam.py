"""What is particular to Polycam's raw export."""

import numpy as np
import pytest

from geoset import GeosetError, open_scan
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from reference.empty_room import walk_around
from scan_formats.nerfstudio import edit_json
from scan_formats.polycam import write_polycam

CAMERA = Camera(np.array([[60.0, 0, 40.25], [0, 61, 29.75], [0, 0, 1]]), 80, 60)
POSES = walk_around(np.array([4.0, 3.0, 2.5]), 3)


def pictures():
    rng = np.random.default_rng(0)
    images = [np.full((60, 80, 3), 50 * k, np.uint8) for k in range(3)]
    return images, list(rng.integers(1, 5000, (3, 15, 20)).astype(np.uint16))


@pytest.fixture
def folder(tmp_path):
    return write_polycam(tmp_path / "scan", *pictures(), POSES, CAMERA)


def cameras(folder, kind="corrected_cameras"):
    return sorted((folder / "keyframes" / kind).iterdir())


def test_names_are_times(folder):
    assert open_scan(folder).frames[1].name == "98000823777"


def test_a_pose_worked_by_hand(folder):
    # ARKit: y is up, the camera looks along -z of its own axes.
    rows = {f"t_{i}{j}": float(i == j) for i in range(3) for j in range(3)}
    rows |= {"t_03": 1.0, "t_13": 1.5, "t_23": -2.0}
    edit_json(cameras(folder)[0], lambda c: {**c, **rows})
    expected = [[1, 0, 0, 1], [0, -1, 0, 1.5], [0, 0, -1, -2], [0, 0, 0, 1]]
    assert open_scan(folder).frames[0].world_from_camera.tolist() == expected


class TestCorrected:
    def test_is_preferred(self, folder):
        scan = open_scan(folder)
        assert scan.notes == []
        np.testing.assert_allclose(scan.frames[0].world_from_camera, POSES[0], atol=1e-12)

    @pytest.mark.parametrize("missing", ["corrected_images", "corrected_cameras"])
    def test_is_all_or_nothing(self, folder, missing):
        (folder / "keyframes" / missing).rename(folder / "put_away")
        scan = open_scan(folder)
        assert scan.notes[0].startswith("Polycam has not optimised these poses")
        shift = scan.frames[0].world_from_camera - POSES[0]
        np.testing.assert_allclose(shift[:3, 3], 0.1, atol=1e-12)

    def test_was_never_made(self, tmp_path):
        scan = open_scan(write_polycam(tmp_path, *pictures(), POSES, CAMERA, corrected=False))
        assert len(scan.frames) == 3
        np.testing.assert_allclose(scan.frames[0].world_from_camera, POSES[0], atol=1e-12)


class TestDepth:
    def test_of_lower_resolution(self, folder):
        frame = open_scan(folder).frames[0]
        np.testing.assert_allclose(frame.depth_camera.K[:2], CAMERA.K[:2] / 4)
        np.testing.assert_array_equal(
            frame.depth(), np.float32(pictures()[1][0]) / np.float32(1000)
        )

    def test_of_low_confidence_is_left_out(self, tmp_path):
        levels = np.random.default_rng(1).choice([0, 127, 255], (3, 15, 20))
        scan = open_scan(write_polycam(tmp_path, *pictures(), POSES, CAMERA, confidences=levels))
        assert scan.notes == ["depth of low confidence is left out"]
        for frame, level in zip(scan.frames, levels, strict=True):
            np.testing.assert_array_equal(frame.depth() > 0, level > 0)

    def test_confidence_of_another_size(self, tmp_path):
        levels = np.zeros((3, 30, 40))
        levels[:, :, 20:] = 255
        scan = open_scan(write_polycam(tmp_path, *pictures(), POSES, CAMERA, confidences=levels))
        assert not scan.frames[0].depth()[:, :10].any()
        assert scan.frames[0].depth()[:, 10:].all()

    def test_confidence_of_some_frames(self, tmp_path):
        levels = np.zeros((3, 15, 20))
        folder = write_polycam(tmp_path, *pictures(), POSES, CAMERA, confidences=levels)
        sorted((folder / "keyframes/confidence").iterdir())[1].unlink()
        frames = open_scan(folder).frames
        assert [frame.depth().any() for frame in frames] == [False, True, False]

    def test_unreadable_confidence(self, tmp_path):
        levels = np.zeros((3, 15, 20))
        folder = write_polycam(tmp_path, *pictures(), POSES, CAMERA, confidences=levels)
        sorted((folder / "keyframes/confidence").iterdir())[0].write_bytes(b"")
        with pytest.raises(GeosetError, match=r"confidence/98000123456.png: cannot be read"):
            open_scan(folder).frames[0].depth()

    def test_none(self, tmp_path):
        scan = open_scan(write_polycam(tmp_path, pictures()[0], None, POSES, CAMERA))
        assert scan.frames[0].read_depth is None


def test_a_mesh_of_ones_own(folder):
    assert open_scan(folder).mesh is None
    write_ply(folder / "mesh.ply", TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]])))
    np.testing.assert_array_equal(open_scan(folder).mesh.vertices, np.eye(3))


class TestBadFrames:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda c: [], "unusable camera file"),
            (lambda c: {k: v for k, v in c.items() if k != "t_21"}, "unusable camera file"),
            (lambda c: {k: v for k, v in c.items() if k != "cx"}, "unusable camera file"),
            (lambda c: {**c, "fx": None}, "unusable camera file"),
            (lambda c: {**c, "t_03": "far"}, "unusable camera file"),
            (lambda c: {**c, "t_03": float("inf")}, "pose has non-finite entries"),
            (lambda c: {**c, "width": 200}, "image of another shape than its camera"),
        ],
    )
    def test_camera(self, folder, change, reason):
        edit_json(cameras(folder)[1], change)
        scan = open_scan(folder)
        assert len(scan.frames) == 2
        assert scan.rejected == [("98000823777", reason)]

    def test_missing_files(self, folder):
        first, second, _ = cameras(folder)
        first.unlink()
        (folder / f"keyframes/corrected_images/{second.stem}.jpg").unlink()
        scan = open_scan(folder)
        assert len(scan.frames) == 1
        assert sorted(why for _, why in scan.rejected) == ["no camera file", "no colour file"]

    def test_no_json(self, folder):
        cameras(folder)[0].write_text("{")
        assert [why for _, why in open_scan(folder).rejected] == ["unusable camera file"]

    def test_none_left(self, folder):
        for file in cameras(folder):
            file.write_text("")
        text = "Polycam raw layout, but no usable frame .3 x unusable camera file"
        with pytest.raises(GeosetError, match=text):
            open_scan(folder)
