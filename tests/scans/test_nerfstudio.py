"""What is particular to nerfstudio's transforms.json."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from geoset import GeosetError, open_scan
from geoset.geometry.camera import Camera
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.scans.distortion import Distortion
from geoset.scans.nerfstudio import lens_of
from reference import distortion as reference
from reference.empty_room import see, walk_around
from scan_formats.nerfstudio import edit_json, write_nerfstudio

CAMERA = Camera(np.array([[30.0, 0, 20.25], [0, 31, 14.75], [0, 0, 1]]), 40, 30)
SIZE = np.array([4.0, 3.0, 2.5])
POSES = walk_around(SIZE, 3)
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))


def pictures(height=30, width=40):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, height, width, 3), dtype=np.uint8)
    return list(images), list(rng.integers(1, 5000, (3, height, width)).astype(np.uint16))


@pytest.fixture
def folder(tmp_path):
    return write_nerfstudio(tmp_path / "scan", *pictures(), POSES, CAMERA)


def edit_frame(folder, index, **changes):
    """Change entries of a frame; None takes one out."""

    def change(content):
        frame = {**content["frames"][index], **changes}
        content["frames"][index] = {k: v for k, v in frame.items() if v is not None}
        return content

    edit_json(folder / "transforms.json", change)


def edit_top(folder, **changes):
    def change(content):
        return {k: v for k, v in {**content, **changes}.items() if v is not None}

    edit_json(folder / "transforms.json", change)


def names(scan):
    return [frame.name for frame in scan.frames]


class TestAxes:
    def test_worked_by_hand(self, folder):
        # An OpenGL camera at (1, 2, 3) with world axes looks along -z, its y is up.
        pose = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
        edit_frame(folder, 0, transform_matrix=pose)
        edit_frame(folder, 1, transform_matrix=pose[:3])
        expected = [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]
        for frame in open_scan(folder).frames[:2]:
            assert frame.world_from_camera.tolist() == expected

    def test_the_applied_transform_is_left(self, folder):
        edit_top(folder, applied_transform=[[0, 1, 0, 5], [1, 0, 0, 0], [0, 0, -1, 0]])
        for frame, pose in zip(open_scan(folder).frames, POSES, strict=True):
            np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-12)


class TestIntrinsics:
    def test_of_each_frame(self, tmp_path):
        folder = write_nerfstudio(tmp_path, *pictures(), POSES, CAMERA, per_frame=True)
        edit_frame(folder, 1, fl_x=33.0)
        cameras = [frame.camera for frame in open_scan(folder).frames]
        assert [camera.K[0, 0] for camera in cameras] == [30, 33, 30]
        np.testing.assert_array_equal(cameras[2].K, CAMERA.K)

    def test_of_images_that_have_been_scaled(self, tmp_path):
        folder = write_nerfstudio(tmp_path, *pictures(15, 20), POSES, CAMERA)
        camera = open_scan(folder).frames[0].camera
        assert (camera.width, camera.height) == (20, 15)
        np.testing.assert_allclose(camera.K[:2], CAMERA.K[:2] / 2)

    def test_of_images_of_another_shape(self, folder):
        edit_frame(folder, 1, w=60)
        scan = open_scan(folder)
        assert len(scan.frames) == 2
        assert scan.rejected == [("images/frame_00002", "image of another shape than its camera")]

    @pytest.mark.parametrize("key", ["fl_x", "cy", "w"])
    def test_missing(self, folder, key):
        edit_top(folder, **{key: None})
        with pytest.raises(GeosetError, match=rf"but no usable frame \(3 x no {key}\)"):
            open_scan(folder)

    def test_no_camera(self, folder):
        edit_frame(folder, 0, fl_y=-31)
        assert open_scan(folder).rejected == [("images/frame_00001", "unusable intrinsics")]

    @pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "EQUIRECTANGULAR", ["OPENCV"]])
    def test_no_pinhole(self, folder, model):
        edit_top(folder, camera_model=model)
        text = r"transforms.json: camera model .* is not read, only PINHOLE, .*; undistort the"
        with pytest.raises(GeosetError, match=text):
            open_scan(folder)

    def test_one_frame_no_pinhole(self, folder):
        edit_frame(folder, 2, camera_model="OPENCV_FISHEYE")
        reason = "camera model OPENCV_FISHEYE"
        assert open_scan(folder).rejected == [("images/frame_00003", reason)]

    def test_fisheye_of_instant_ngp(self, folder):
        """Its colmap2nerf.py writes k1..k4 and this, but no camera_model."""
        edit_top(folder, camera_model=None, is_fisheye=False, k1=0.01)
        assert len(open_scan(folder).frames) == 3
        edit_frame(folder, 2, is_fisheye=True)
        reason = "camera model fisheye (is_fisheye)"
        assert open_scan(folder).rejected == [("images/frame_00003", reason)]
        edit_top(folder, is_fisheye=True)
        text = r"camera model fisheye \(is_fisheye\) is not read, only PINHOLE, .*; undistort the"
        with pytest.raises(GeosetError, match=text):
            open_scan(folder)


def test_every_term_of_a_lens_is_read():
    camera = {"fl_x": 30, "fl_y": 31, "cx": 20.25, "cy": 14.75, "w": 40, "h": 30}
    terms = {"k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 0.4, "p1": 0.5, "p2": 0.6}
    lens = lens_of(camera | terms, Path("transforms.json"))
    np.testing.assert_array_equal(lens.camera.K, CAMERA.K)
    assert lens.distortion == Distortion((0.1, 0.2, 0.3, 0.4), (0.5, 0.6))


def test_distortion_is_undone(tmp_path):
    radial, tangential = (-0.2, 0.05), (0.004, -0.003)
    rays = reference.rays_of_lens(CAMERA, radial, tangential)
    poses = walk_around(SIZE, 7)[1:4]  # walls are seen aslant
    views = [see(SimpleNamespace(rays=lambda: rays), pose, SIZE) for pose in poses]
    images = [np.stack([40 * wall] * 3, -1).astype(np.uint8) for _, wall in views]
    folder = write_nerfstudio(
        tmp_path, images, [depth for depth, _ in views], poses, CAMERA,
        k1=radial[0], k2=radial[1], p1=tangential[0], p2=tangential[1],
    )  # fmt: skip
    scan = open_scan(folder)
    assert scan.notes[1] == "lens distortion is undone as images are read"
    for frame, pose, (through_lens, _) in zip(scan.frames, poses, views, strict=True):
        depth, wall = see(CAMERA, pose, SIZE)
        off, before = np.abs(frame.depth() - depth), np.abs(through_lens - depth)
        assert off.mean() < 0.02  # it is of the nearest pixel
        assert before.mean() > 2 * off.mean()
        assert (frame.image()[..., 0] == 40 * wall).mean() > 0.9


class TestDepth:
    def test_none_at_all(self, tmp_path):
        images, _ = pictures()
        scan = open_scan(write_nerfstudio(tmp_path, images, None, POSES, CAMERA))
        assert len(scan.frames) == 3
        assert scan.frames[0].read_depth is None

    def test_none_in_one_frame(self, folder):
        edit_frame(folder, 1, depth_file_path=None)
        scan = open_scan(folder)
        assert names(scan) == ["images/frame_00001", "images/frame_00003"]
        assert scan.rejected == [("images/frame_00002", "no depth file")]

    def test_of_another_shape(self, tmp_path):
        images, _ = pictures()
        _, depths = pictures(20, 20)
        folder = write_nerfstudio(tmp_path, images, depths, POSES, CAMERA)
        with pytest.raises(GeosetError, match="3 x image of another shape than its camera"):
            open_scan(folder)

    def test_unknown_scale_is_said(self, folder):
        assert "need not be metric" in open_scan(folder).notes[0]


def test_black_in_the_mask_is_not_used(tmp_path):
    images, depths = pictures()
    masks = [np.zeros((30, 40), bool) for _ in range(3)]
    masks[1][3:9, 5:20] = True
    frames = open_scan(
        write_nerfstudio(tmp_path, images, depths, POSES, CAMERA, masks=masks)
    ).frames
    for frame, mask in zip(frames, masks, strict=True):
        np.testing.assert_array_equal(frame.masked(30, 40), mask)
        np.testing.assert_array_equal(frame.depth() == 0, mask)


class TestFiles:
    def test_paths_without_suffix_are_png(self, folder):
        for index in range(3):
            edit_frame(folder, index, file_path=f"./images/frame_{index + 1:05d}")
        scan = open_scan(folder)
        assert names(scan) == [f"images/frame_{k:05d}" for k in (1, 2, 3)]
        assert scan.frames[0].image().shape == (30, 40, 3)

    def test_frames_are_in_order_of_their_names(self, folder):
        edit_json(folder / "transforms.json", lambda c: {**c, "frames": c["frames"][::-1]})
        assert names(open_scan(folder)) == [f"images/frame_{k:05d}" for k in (1, 2, 3)]

    def test_outside_of_the_scan(self, folder, tmp_path):
        (folder / "images/frame_00001.png").rename(tmp_path / "elsewhere.png")
        edit_frame(folder, 0, file_path="../elsewhere.png")
        edit_frame(folder, 1, file_path=str(folder / "images/frame_00002.png"))
        assert names(open_scan(folder)) == ["000000", "000001", "images/frame_00003"]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"file_path": None}, "no file_path"),
            ({"file_path": 7}, "no file_path"),
            ({"file_path": "images/none.png"}, "no colour file"),
            ({"file_path": "x" * 5000}, "unreadable colour file"),
            ({"file_path": "a\0b"}, "no colour file"),
            ({"file_path": "/"}, "no colour file"),
            ({"file_path": "images/frame_00001.png"}, "second frame of its name"),
            ({"depth_file_path": "none.png"}, "no depth file"),
            ({"transform_matrix": None}, "unreadable pose"),
            ({"transform_matrix": [[1, 2], [3]]}, "unreadable pose"),
            ({"transform_matrix": np.eye(3).tolist()}, "unreadable pose"),
            ({"transform_matrix": [["x"] * 4] * 4}, "unreadable pose"),
            ({"transform_matrix": (2 * np.eye(4)).tolist()},
             "pose is not rigid (its axes are not orthonormal)"),
            ({"transform_matrix": [[float("nan")] * 4] * 4}, "pose has non-finite entries"),
        ],
    )  # fmt: skip
    def test_a_bad_frame_is_rejected(self, folder, changes, reason):
        edit_frame(folder, 1, **changes)
        scan = open_scan(folder)
        assert len(scan.frames) == 2
        assert [why for _, why in scan.rejected] == [reason]

    def test_a_frame_that_is_none(self, folder):
        edit_json(folder / "transforms.json", lambda c: {**c, "frames": [3, *c["frames"]]})
        scan = open_scan(folder)
        assert len(scan.frames) == 3
        assert scan.rejected == [("000000", "no file_path")]

    @pytest.mark.parametrize("content", [[], {}, {"frames": {}}, "text"])
    def test_no_list_of_frames(self, folder, content):
        (folder / "transforms.json").write_text(json.dumps(content))
        text = r'transforms.json: expected an object with a list "frames"; export it anew'
        with pytest.raises(GeosetError, match=text):
            open_scan(folder)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
    def test_no_json(self, folder, content):
        (folder / "transforms.json").write_bytes(content)
        with pytest.raises(GeosetError, match=r"transforms.json: cannot be read"):
            open_scan(folder)


class TestMesh:
    def test_none(self, folder):
        assert open_scan(folder).mesh is None

    def test_beside(self, folder):
        write_ply(folder / "mesh.ply", TRIANGLE)
        np.testing.assert_array_equal(open_scan(folder).mesh.vertices, TRIANGLE.vertices)

    def test_named(self, folder):
        write_ply(folder / "fused.ply", TRIANGLE)
        edit_top(folder, ply_file_path="fused.ply")
        np.testing.assert_array_equal(open_scan(folder).mesh.faces, TRIANGLE.faces)

    @pytest.mark.parametrize("named", ["sparse_pc.ply", "missing.ply", "x" * 5000, 7, "a\0b"])
    def test_points_are_no_mesh(self, folder, named):
        write_ply(folder / "sparse_pc.ply", TriangleMesh(np.eye(3), np.empty((0, 3), np.int32)))
        edit_top(folder, ply_file_path=named)
        assert open_scan(folder).mesh is None


def test_opening_decodes_no_image(folder):
    for file in folder.rglob("*.png"):
        size = Image.open(file).size
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
        assert Image.open(file).size == size
    scan = open_scan(folder)
    assert len(scan.frames) == 3
    with pytest.raises(GeosetError, match="cannot be read"):
        scan.frames[0].image()
