"""What every reader must do: the same scene, written in each layout, comes back canonical."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from geoset import open_scan
from geoset.geometry.camera import Camera, invert, transform
from geoset.scans.detect import READERS
from reference.empty_room import distance_to_walls, see, walk_around
from scan_folders import write_folder_scan, write_seven_scenes
from scan_formats.arkit import write_arkit
from scan_formats.nerfstudio import write_nerfstudio
from scan_formats.polycam import write_polycam
from scan_formats.redwood import write_redwood
from scan_formats.replica import write_replica
from scan_formats.scannetpp import write_iphone
from scan_formats.sens import write_sens
from scan_formats.tum import write_tum

SIZE = np.array([4.0, 3.0, 2.5])
CAMERA = Camera(np.array([[110.0, 0, 80], [0, 112, 61], [0, 0, 1]]), 160, 120)
DEPTH_CAMERA = CAMERA.resized(60, 80)


def for_integer_centres(camera):
    return camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


@dataclass
class Scene:
    images: list
    depths: list
    small_depths: list
    poses: list
    walls: list


@pytest.fixture(scope="module")
def scene():
    poses = walk_around(SIZE, 12)
    depths, walls = zip(*(see(CAMERA, pose, SIZE) for pose in poses), strict=True)
    images = [np.stack([40 * wall, 255 - 40 * wall, 0 * wall], -1) for wall in walls]
    return Scene(
        images=[image.astype(np.uint8) for image in images],
        depths=list(depths),
        small_depths=[see(DEPTH_CAMERA, pose, SIZE)[0] for pose in poses],
        poses=poses,
        walls=list(walls),
    )


def plain(path, scene):
    K = for_integer_centres(CAMERA)
    return write_folder_scan(path, scene.images, scene.depths, scene.poses, K)


def sens_reader(path, scene):
    return write_folder_scan(
        path,
        scene.images,
        scene.small_depths,
        scene.poses,
        for_integer_centres(CAMERA),
        depth_K=for_integer_centres(DEPTH_CAMERA),
        style="sens_reader",
        suffix=".jpg",
    )


def frames_25k(path, scene):
    return write_folder_scan(
        path,
        scene.images,
        scene.depths,
        scene.poses,
        for_integer_centres(CAMERA),
        style="frames_25k",
        suffix=".jpg",
        labels=scene.walls,
        instances=[1000 * wall for wall in scene.walls],
    )


def seven_scenes(path, scene):
    K = for_integer_centres(CAMERA)
    return write_seven_scenes(path, scene.images, scene.depths, scene.poses, K)


def seven_scenes_jpeg(path, scene):
    K = for_integer_centres(CAMERA)
    return write_seven_scenes(
        path, scene.images, scene.depths, scene.poses, K, sequence="", suffix=".jpg"
    )


def tum(path, scene):
    return write_tum(path, scene.images, scene.depths, scene.poses, for_integer_centres(CAMERA))


def redwood(path, scene):
    return write_redwood(
        path, scene.images, scene.small_depths, scene.poses, for_integer_centres(CAMERA)
    )


def replica(path, scene):
    return write_replica(
        path / "room0", scene.images, scene.depths, scene.poses, for_integer_centres(CAMERA)
    )


def arkit(path, scene):
    return write_arkit(path, scene.images, scene.small_depths, scene.poses, CAMERA.K)


def nerfstudio(path, scene):
    return write_nerfstudio(path, scene.images, scene.small_depths, scene.poses, CAMERA)


def polycam(path, scene):
    return write_polycam(path, scene.images, scene.small_depths, scene.poses, CAMERA)


def scannetpp(path, scene):
    return write_iphone(path, scene.images, scene.small_depths, scene.poses, CAMERA)


def sens(path, scene):
    return write_sens(
        path / "scene0000_00.sens",
        scene.images,
        scene.small_depths,
        scene.poses,
        for_integer_centres(CAMERA),
        depth_K=for_integer_centres(DEPTH_CAMERA),
    )


WRITERS = (
    sens,
    plain,
    sens_reader,
    frames_25k,
    seven_scenes,
    seven_scenes_jpeg,
    tum,
    redwood,
    replica,
    arkit,
    nerfstudio,
    polycam,
    scannetpp,
)


@pytest.fixture(scope="module", params=WRITERS, ids=lambda writer: writer.__name__)
def scan(request, scene, tmp_path_factory):
    return open_scan(request.param(tmp_path_factory.mktemp("scan"), scene))


def test_every_reader_is_held_to_this(scene, tmp_path):
    layouts = {open_scan(writer(tmp_path / writer.__name__, scene)).layout for writer in WRITERS}
    assert layouts == {reader.LAYOUT for reader in READERS}


def test_frames_are_all_there_in_order(scan, scene):
    assert scan.rejected == []
    assert len({frame.name for frame in scan.frames}) == len(scan.frames) == 12
    for frame, pose in zip(scan.frames, scene.poses, strict=True):
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-6)


def test_poses_are_float64_and_proper(scan):
    for frame in scan.frames:
        pose = frame.world_from_camera
        assert pose.shape == (4, 4)
        assert pose.dtype == np.float64
        np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])
        np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), rtol=0, atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        assert frame.depth_camera_from_camera.shape == (4, 4)


def test_images_are_rgb(scan, scene):
    for frame, image in zip(scan.frames, scene.images, strict=True):
        read = frame.image()
        assert read.dtype == np.uint8
        assert read.shape == (frame.camera.height, frame.camera.width, 3) == image.shape
        error = np.abs(read.astype(int) - image)
        assert np.median(error) <= 3  # JPEG; swapped channels are off by tens


def test_cameras_count_pixel_centres_from_a_half(scan):
    frame = scan.frames[0]
    for camera, expected in (
        (frame.camera, CAMERA),
        (frame.depth_camera, CAMERA.resized(frame.depth_camera.height, frame.depth_camera.width)),
    ):
        assert (camera.width, camera.height) == (expected.width, expected.height)
        assert camera.K.dtype == np.float64
        np.testing.assert_allclose(camera.K, expected.K, atol=1e-8)


def test_depth_is_metres_along_z_and_lies_on_the_walls(scan):
    for frame in scan.frames:
        depth = frame.depth()
        assert depth.dtype == np.float32
        assert depth.shape == (frame.depth_camera.height, frame.depth_camera.width)
        # Files hold whole millimetres; half a pixel amiss would be a centimetre.
        assert distance_to_walls(unproject(frame), SIZE).max() < 0.001


def test_neighbouring_frames_see_the_same_places(scan):
    for first, second in pairwise(scan.frames):
        points = transform(invert(second.world_from_camera), unproject(first).reshape(-1, 3))
        pixels, z = second.depth_camera.project(points)
        j, i = np.floor(pixels).astype(int).T
        height, width = second.depth().shape
        seen = (z > 0) & (i >= 0) & (j >= 0) & (i < height) & (j < width)
        assert seen.mean() > 0.3
        gap = np.abs(second.depth()[i[seen], j[seen]] - z[seen])
        assert np.quantile(gap, 0.9) < 0.02  # the rest: nearest pixels of walls seen aslant


def unproject(frame):
    """World points (h,w,3) of a frame's depth."""
    points = frame.depth_camera.rays() * frame.depth()[..., None]
    world_from_depth_camera = frame.world_from_camera @ invert(frame.depth_camera_from_camera)
    return transform(world_from_depth_camera, points)
