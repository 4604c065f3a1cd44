import re

import numpy as np
import pytest
from PIL import Image

from geoset import open_scan
from geoset.errors import GeosetError
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.ply import write_ply
from geoset.scans.rooms import ROOM_CLASSES, RoomSettings, write_room
from geoset.scans.scan import FrameError, count_reasons
from scan_folders import write_folder_scan, write_image, write_matrix, write_raster

K = np.array([[50.0, 0, 19.5], [0, 52, 14.5], [0, 0, 1]])
TRIANGLE = TriangleMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))


def pictures(count=4, height=30, width=40):
    """Images, depths and poses that all differ."""
    rng = np.random.default_rng(count)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]
    depths = [rng.integers(1, 6000, (height, width), dtype=np.uint16) for _ in range(count)]
    poses = [np.eye(4) + 0.1 * k * np.eye(4, k=3) for k in range(count)]
    return images, depths, poses


@pytest.fixture
def folder(tmp_path):
    return write_folder_scan(tmp_path / "scan", *pictures(), K)


def names(scan):
    return [frame.name for frame in scan.frames]


def posed(**entries):
    """A 4x4 identity with some entries replaced, as in posed(r00=-1)."""
    pose = np.eye(4)
    for place, value in entries.items():
        pose[int(place[1]), int(place[2])] = value
    return pose


class TestRejected:
    """Frame 000001 of four is spoilt in one way; the others stay."""

    POSES = (
        (posed(t03=np.nan), "pose has non-finite entries"),
        (np.full((4, 4), -np.inf), "pose has non-finite entries"),
        (np.diag([2.0, 2, 2, 1]), "pose is not rigid (its axes are not orthonormal)"),
        (np.zeros((4, 4)), "pose is not rigid (its axes are not orthonormal)"),
        (posed(r00=-1), "pose is not rigid (it mirrors space)"),
        (posed(b33=0), "pose is not rigid (its last row is not 0 0 0 1)"),
        (np.eye(4)[:3], "pose is 3x4, expected 4x4"),
        (np.eye(4).reshape(1, 16), "pose is 1x16, expected 4x4"),
    )
    FILES = (
        ("color/000001.png", None, "no colour file"),
        ("depth/000001.png", None, "no depth file"),
        ("pose/000001.txt", None, "no pose file"),
        ("color/000001.png", b"no image", "unreadable colour file"),
        ("depth/000001.png", b"", "unreadable depth file"),
        ("pose/000001.txt", b"", "unreadable pose file"),
        ("pose/000001.txt", b"lost track\n", "unreadable pose file"),
    )

    @pytest.mark.parametrize(("pose", "reason"), POSES)
    def test_pose(self, folder, pose, reason):
        write_matrix(folder / "pose/000001.txt", pose)
        self.check(folder, reason)

    @pytest.mark.parametrize(("name", "content", "reason"), FILES)
    def test_file(self, folder, name, content, reason):
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        self.check(folder, reason)

    @pytest.mark.parametrize("kind", ["color", "depth"])
    def test_size(self, folder, kind):
        write_raster(folder / f"{kind}/000001.png", np.ones((30, 41), np.uint16))
        self.check(folder, "image size differs from most frames'")

    def check(self, folder, reason):
        scan = open_scan(folder)
        assert names(scan) == ["000000", "000002", "000003"]
        assert scan.rejected == [("000001", reason)]

    def test_an_odd_first_frame_costs_only_itself(self, folder):
        write_image(folder / "color/000000.png", np.zeros((60, 80, 3), np.uint8))
        scan = open_scan(folder)
        assert names(scan) == ["000001", "000002", "000003"]
        assert scan.rejected == [("000000", "image size differs from most frames'")]
        assert (scan.frames[0].camera.width, scan.frames[0].camera.height) == (40, 30)

    def test_sizes_of_unusable_frames_do_not_count(self, folder):
        write_image(folder / "color/000000.png", np.zeros((60, 80, 3), np.uint8))
        write_matrix(folder / "pose/000000.txt", np.full((4, 4), np.nan))
        scan = open_scan(folder)
        assert names(scan) == ["000001", "000002", "000003"]
        assert scan.rejected == [("000000", "pose has non-finite entries")]

    def test_reasons_are_counted(self, folder):
        (folder / "depth/000000.png").unlink()
        for name in ("000001", "000003"):
            write_matrix(folder / f"pose/{name}.txt", np.full((4, 4), np.nan))
        assert list(count_reasons(open_scan(folder).rejected).items()) == [
            ("pose has non-finite entries", 2),
            ("no depth file", 1),
        ]

    def test_frames_known_by_depth_or_pose_alone_are_named(self, folder):
        write_matrix(folder / "pose/000009.txt", np.eye(4))
        write_raster(folder / "depth/000010.png", np.ones((30, 40)))
        scan = open_scan(folder)
        assert len(scan.frames) == 4
        assert scan.rejected == [("000009", "no colour file"), ("000010", "no colour file")]


class TestFoundWhenRead:
    """Headers are whole, so that frames open; their pixels are not."""

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_cut_image(self, tmp_path, suffix):
        folder = write_folder_scan(tmp_path / "scan", *pictures(), K, suffix=suffix)
        path = self.cut(folder / f"color/000001{suffix}")
        scan = open_scan(folder)
        assert len(scan.frames) == 4
        with pytest.raises(FrameError, match=re.escape(f"000001: {path}: cannot be read")) as found:
            scan.frames[1].image()
        assert found.value.reason == "unreadable colour file"
        assert scan.frames[1].depth().any()

    def test_cut_depth(self, folder):
        path = self.cut(folder / "depth/000002.png")
        frame = open_scan(folder).frames[2]
        with pytest.raises(FrameError, match=re.escape(f"000002: {path}: cannot be read")) as found:
            frame.depth()
        assert found.value.reason == "unreadable depth file"

    def test_three_channels_are_no_depth(self, folder):
        write_image(folder / "depth/000002.png", np.zeros((30, 40, 3), np.uint8))
        with pytest.raises(FrameError, match="expected one channel of 8 or 16 bits") as found:
            open_scan(folder).frames[2].depth()
        assert found.value.reason == "unreadable depth file"

    @staticmethod
    def cut(path):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        return path


class TestIntrinsics:
    def test_none(self, folder):
        (folder / "intrinsics.txt").unlink()
        text = (
            f"{folder}: no colour intrinsics; expected one of intrinsics_color.txt, "
            "intrinsic/intrinsic_color.txt, intrinsics.txt"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(folder)

    def test_none_for_depth(self, tmp_path):
        folder = write_folder_scan(tmp_path / "scan", *pictures(), K, style="frames_25k")
        (folder / "intrinsics_depth.txt").unlink()
        with pytest.raises(GeosetError, match="no depth intrinsics; expected one of"):
            open_scan(folder)

    def test_broken(self, folder):
        write_matrix(folder / "intrinsics.txt", -K)
        with pytest.raises(GeosetError, match=r"intrinsics.txt: expected a 3x3 \(or 4x4\) camera"):
            open_scan(folder)

    def test_one_file_cannot_serve_two_sizes(self, tmp_path):
        images, _, poses = pictures()
        _, small, _ = pictures(height=24, width=32)
        folder = write_folder_scan(tmp_path / "scan", images, small, poses, K)
        text = (
            f"{folder / 'intrinsics.txt'}: stands for colour (40x30) and depth (32x24), expected "
            "one size; write intrinsics_color.txt and intrinsics_depth.txt"
        )
        with pytest.raises(GeosetError, match=re.escape(text)):
            open_scan(folder)

    def test_each_kind_has_its_own(self, tmp_path):
        images, _, poses = pictures()
        _, small, _ = pictures(height=15, width=20)
        depth_K = np.array([[30.0, 0, 9], [0, 31, 8], [0, 0, 1]])
        for style in ("sens_reader", "frames_25k"):
            folder = write_folder_scan(
                tmp_path / style, images, small, poses, K, depth_K=depth_K, style=style
            )
            frame = open_scan(folder).frames[3]
            assert frame.camera.K[:2, 2].tolist() == [20, 15]
            assert frame.depth_camera.K.tolist() == [[30, 0, 9.5], [0, 31, 8.5], [0, 0, 1]]
            assert (frame.depth_camera.width, frame.depth_camera.height) == (20, 15)
            np.testing.assert_array_equal(frame.depth(), np.float32(small[3]) / np.float32(1000))


class TestNames:
    def test_unpadded_numbers_are_in_order_of_time(self, tmp_path):
        folder = write_folder_scan(tmp_path / "scan", *pictures(12), K, style="sens_reader")
        assert names(open_scan(folder)) == [str(k) for k in range(12)]

    def test_every_hundredth(self, tmp_path):
        hundredths = ["000000", "000100", "000200", "001000"]
        folder = write_folder_scan(
            tmp_path / "scan", *pictures(), K, style="frames_25k", names=hundredths
        )
        assert names(open_scan(folder)) == hundredths

    def test_rgb_folder_and_other_suffixes(self, folder):
        (folder / "color").rename(folder / "rgb")
        (folder / "rgb/000000.png").rename(folder / "rgb/000000.PNG")
        Image.open(folder / "rgb/000001.png").save(folder / "rgb/000001.jpeg")
        (folder / "rgb/000001.png").unlink()
        (folder / "rgb/thumbnails.db").write_bytes(b"")
        scan = open_scan(folder)
        assert len(scan.frames) == 4
        assert scan.rejected == []
        assert all(frame.image().any() for frame in scan.frames)


class TestVideo:
    """Of a whole video every 25th frame is prepared; chosen frames are all."""

    @pytest.mark.parametrize(
        ("count", "metres", "expected"), [(250, 0.01, True), (100, 0.01, False), (250, 0.1, False)]
    )
    def test_numbers_without_gaps(self, tmp_path, count, metres, expected):
        images, depths = np.zeros((count, 3, 4, 3), np.uint8), np.ones((count, 3, 4))
        poses = [posed(t03=metres * k) for k in range(count)]
        small = np.array([[5.0, 0, 1.5], [0, 5, 1], [0, 0, 1]])
        folder = write_folder_scan(tmp_path / "scan", images, depths, poses, small)
        assert open_scan(folder).full_rate is expected


def test_no_value_of_depth_is_lost_but_the_two_that_mean_none(tmp_path):
    images, depths, poses = pictures()
    depths[0][:2] = [[0], [65535]]
    frame = open_scan(write_folder_scan(tmp_path / "scan", images, depths, poses, K)).frames[0]
    assert not frame.depth()[:2].any()
    np.testing.assert_array_equal(frame.depth()[2:], np.float32(depths[0][2:]) / np.float32(1000))


def test_without_depth_images(tmp_path):
    images, _, poses = pictures()
    scan = open_scan(write_folder_scan(tmp_path / "scan", images, None, poses, K))
    assert len(scan.frames) == 4
    assert scan.frames[0].read_depth is None
    with pytest.raises(GeosetError, match="000000: the scan has no depth images"):
        scan.frames[0].depth()


class TestMesh:
    def test_absent(self, folder):
        assert open_scan(folder).mesh is None

    @pytest.mark.parametrize("name", ["mesh.ply", "scan_vh_clean_2.ply"])
    def test_found(self, folder, name):
        write_ply(folder / name, TRIANGLE)
        mesh = open_scan(folder).mesh
        np.testing.assert_array_equal(mesh.vertices, TRIANGLE.vertices)
        np.testing.assert_array_equal(mesh.faces, TRIANGLE.faces)

    def test_of_another_scene_is_not_taken(self, folder):
        write_ply(folder / "scene0000_00_vh_clean_2.ply", TRIANGLE)
        assert open_scan(folder).mesh is None


class TestLabels:
    def test_values_are_kept(self, tmp_path):
        rng = np.random.default_rng(0)
        labels, instances = (rng.integers(0, 40001, (4, 30, 40)) for _ in range(2))
        folder = write_folder_scan(
            tmp_path / "scan", *pictures(), K, labels=labels, instances=instances
        )
        for k, frame in enumerate(open_scan(folder).frames):
            np.testing.assert_array_equal(frame.label("semantic"), labels[k])
            np.testing.assert_array_equal(frame.label("instance"), instances[k])

    def test_some_frames_have_none(self, tmp_path):
        labels = np.ones((4, 30, 40), int)
        folder = write_folder_scan(tmp_path / "scan", *pictures(), K, labels=labels)
        (folder / "label/000002.png").unlink()
        frames = open_scan(folder).frames
        have = [list(frame.read_labels) for frame in frames]
        assert have == [["semantic"], ["semantic"], [], ["semantic"]]
        text = "000000: no label images 'instance'; available: semantic"
        with pytest.raises(GeosetError, match=text):
            frames[0].label("instance")
        with pytest.raises(GeosetError, match="no label images 'semantic'; available: none"):
            frames[2].label("semantic")


def test_procedural_room_comes_back_as_written(tmp_path):
    folder = tmp_path / "room"
    settings = RoomSettings(frames=3, height=24, width=32, fov=(60, 60))
    write_room(folder, 5, settings)
    scan = open_scan(folder)
    assert names(scan) == ["000000", "000001", "000002"]
    assert scan.rejected == []
    focal = 16 / np.tan(np.radians(30))
    for frame in scan.frames:
        for camera in (frame.camera, frame.depth_camera):
            expected = [[focal, 0, 16], [0, focal, 12], [0, 0, 1]]
            np.testing.assert_allclose(camera.K, expected, atol=1e-8)
        pose = np.loadtxt(folder / f"pose/{frame.name}.txt")
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-8)
        color = np.asarray(Image.open(folder / f"color/{frame.name}.jpg"))
        assert np.abs(frame.image().astype(int) - color).max() <= 2  # two JPEG decoders
        written = np.asarray(Image.open(folder / f"depth/{frame.name}.png"))
        np.testing.assert_allclose(frame.depth(), written / 1000, atol=1e-6)
        assert 0.4 <= frame.depth()[frame.depth() > 0].min() <= frame.depth().max() <= 5
        label, instance = frame.label("semantic"), frame.label("instance")
        assert 1 <= label.min() <= label.max() <= len(ROOM_CLASSES)
        np.testing.assert_array_equal(instance // 1000, label)
