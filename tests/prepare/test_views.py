import numpy as np
import pytest

from geoset.geometry.camera import Camera, transform
from geoset.geometry.mesh import TriangleMesh
from geoset.geometry.raycast import Raycaster
from geoset.geometry.resize import resize_image
from geoset.prepare.views import cover, make_view, resample_depth
from geoset.scans.scan import Frame

SIZE = (32, 40)
CAMERA = Camera(np.array([[30.0, 0, 20], [0, 30, 16], [0, 0, 1]]), 40, 32)
ORIGIN = np.zeros(3)


def wall(distance):
    """A surface across the optical axis, larger than any view of it here."""
    corners = np.float32([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]])
    return Raycaster(
        TriangleMesh(corners + np.float32([0, 0, distance]), np.int32([[0, 1, 2], [0, 2, 3]]))
    )


def make_frame(depth=None, camera=CAMERA, image=None, pose=None, mask=None, **depth_camera):
    if image is None:
        image = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    return Frame(
        name="frame",
        camera=camera,
        world_from_camera=np.eye(4) if pose is None else pose,
        read_image=lambda: image,
        read_depth=None if depth is None else lambda: depth,
        read_mask=None if mask is None else lambda: mask,
        **{"depth_camera": camera} | depth_camera,
    )


def full(value, camera=CAMERA):
    return np.full((camera.height, camera.width), value, dtype=np.float32)


# At 2 m, 5 cm is the larger tolerance; at 4 m, 2 % of the sensor's depth, about 8 cm.
@pytest.mark.parametrize(
    ("distance", "sensor", "seen"),
    [
        (2, 2, True),
        (2, 2.0495, True),
        (2, 2.0505, False),
        (2, 1.9505, True),
        (2, 1.9495, False),
        (4, 4.081, True),  # gap 0.081, tolerance 0.0816
        (4, 4.082, False),  # 0.082 and 0.0816
        (4, 3.922, True),  # 0.078 and 0.0784
        (4, 3.921, False),  # 0.079 and 0.0784
    ],
)
def test_depth_has_to_agree(distance, sensor, seen):
    view = make_view(make_frame(full(sensor)), wall(distance), ORIGIN, SIZE)
    assert (view.vertex_map >= 0).all() == (view.vertex_map >= 0).any() == seen
    assert view.vertex_map.dtype == np.int32 and view.depth.dtype == np.float32
    assert view.residual == pytest.approx(abs(sensor - distance), abs=1e-5)


@pytest.mark.parametrize("fill_holes", [False, True])
def test_holes_see_the_surface_only_when_filled(fill_holes):
    depth = full(2)
    depth[:8], depth[8:12] = 0, 3
    view = make_view(make_frame(depth), wall(2), ORIGIN, SIZE, fill_holes)
    assert (view.vertex_map[:8] >= 0).all() == (view.vertex_map[:8] >= 0).any() == fill_holes
    assert (view.vertex_map[8:12] == -1).all()
    assert (view.vertex_map[12:] >= 0).all()
    np.testing.assert_array_equal(view.depth, depth)


def test_the_residual_is_the_median_before_pixels_are_left_out():
    depth = full(2.01)
    depth[:20] = 2.5  # 20 of 32 rows disagree, and decide the median
    depth[31] = 0
    view = make_view(make_frame(depth), wall(2), ORIGIN, SIZE)
    assert view.residual == pytest.approx(0.5)
    assert (view.vertex_map >= 0).sum() == 11 * 40


def test_without_depth_images_the_rays_decide():
    view = make_view(make_frame(), wall(2), ORIGIN, SIZE)
    assert view.depth is None and np.isnan(view.residual)
    # The corner with the largest weight: towards -9 or 9 in x and y.
    left, top = np.mgrid[:32, :40][1] < 20, np.mgrid[:32, :40][0] < 16
    assert (view.vertex_map[top & left] == 0).all() and (view.vertex_map[~top & ~left] == 2).all()


@pytest.mark.parametrize("fill_holes", [False, True])
@pytest.mark.parametrize("has_depth", [False, True])
def test_masked_pixels_see_nothing(fill_holes, has_depth):
    mask = np.zeros((32, 40), dtype=bool)
    mask[5:9, 10:30] = True
    frame = make_frame(full(2) if has_depth else None, mask=mask)
    view = make_view(frame, wall(2), ORIGIN, SIZE, fill_holes)
    np.testing.assert_array_equal(view.vertex_map == -1, mask)
    if has_depth:
        np.testing.assert_array_equal(view.depth == 0, mask)


def test_masks_are_resized_and_cropped_as_images_are():
    """96x64 to 40x32: scaled by a half to 48x32, of which 4 columns fall away on either side."""
    camera = Camera(np.array([[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]), 96, 64)
    mask = np.zeros((64, 96), dtype=np.uint8)
    mask[11, 8] = 255  # the first column that is left; a quarter of pixel (5, 0)
    mask[20:22, 46:51] = 1  # columns 19, 20 and half of 21 of row 10
    mask[:, 7] = 1  # cropped away
    view = make_view(make_frame(full(2, camera), camera, mask=mask), wall(2), ORIGIN, SIZE)
    expected = np.zeros((32, 40), dtype=bool)
    expected[5, 0] = expected[10, 19:22] = True
    np.testing.assert_array_equal(view.vertex_map == -1, expected)
    np.testing.assert_array_equal(view.depth == 0, expected)


@pytest.mark.parametrize("depth_edges", [False, True])
def test_flying_pixels_are_holes_unless_believed(depth_edges):
    depth = full(2)
    depth[:, 20:] = 4
    depth[:, 20] = 3
    view = make_view(make_frame(depth), wall(3), ORIGIN, SIZE, depth_edges=depth_edges)
    assert (view.depth[:, 20] == (3 if depth_edges else 0)).all()
    assert (view.vertex_map[:, 20] >= 0).all() == depth_edges
    assert (np.delete(view.depth, 20, axis=1) > 0).all()


def test_no_surface_and_no_depth_give_no_residual():
    away = np.diag([1.0, -1, -1, 1])
    view = make_view(make_frame(full(2), pose=away), wall(2), ORIGIN, SIZE)
    assert (view.vertex_map == -1).all() and np.isnan(view.residual)


def test_poses_are_relative_to_the_surface():
    offset = np.array([4e5, -6e5, 1200.0])
    pose = np.eye(4)
    pose[:3, 3] = offset + np.array([0.5, 0.25, -1])
    view = make_view(make_frame(full(3), pose=pose), wall(2), offset, SIZE)
    np.testing.assert_array_equal(view.world_from_camera[:3, 3], [0.5, 0.25, -1])
    assert pose[0, 3] == 4e5 + 0.5  # the frame keeps its own
    assert (view.vertex_map >= 0).all()


# (native width, height), image_size asked, window of the native image, stored width, height
@pytest.mark.parametrize(
    ("native", "image_size", "window", "stored"),
    [
        ((640, 480), (240, 320), (0, 0, 640, 480), (320, 240)),
        ((1280, 720), (240, 320), (160, 0, 1120, 720), (320, 240)),
        ((1000, 1000), (240, 320), (0, 125, 1000, 875), (320, 240)),
        ((480, 640), (240, 320), (0, 0, 480, 640), (240, 320)),
        ((720, 1280), (240, 320), (0, 160, 720, 1120), (240, 320)),
        ((160, 120), (240, 320), (0, 0, 160, 120), (320, 240)),
        ((640, 480), (480, 480), (80, 0, 560, 480), (480, 480)),
    ],
)
def test_images_are_covered_and_cropped_in_the_middle(native, image_size, window, stored):
    K = np.array([[500.0, 0.5, 311], [0, 510, 229], [0, 0, 1]])
    camera, box = cover(Camera(K, *native), image_size)
    assert box == pytest.approx(window)
    assert (camera.width, camera.height) == stored
    # The same point of the world lands at the same place of the same picture.
    points = np.array([[0.1, -0.2, 1.5], [-0.3, 0.1, 2.5], [0, 0, 1]])
    before, after = Camera(K, *native).project(points)[0], camera.project(points)[0]
    scale = stored[0] / (window[2] - window[0])
    np.testing.assert_allclose(after, (before - window[:2]) * scale, atol=1e-9)


def test_images_that_are_enlarged_are_interpolated():
    ramp = np.repeat(np.arange(0, 160, 8, dtype=np.uint8)[None, :, None], 15, axis=0).repeat(3, 2)
    wide = resize_image(ramp, (30, 40), (0, 0, 20, 15)).astype(int)
    assert wide.shape == (30, 40, 3)
    assert set(np.diff(wide[:, 1:-1], axis=1).ravel()) == {4}  # nearest: 0 and 8
    small = resize_image(ramp, (3, 4), (0, 0, 20, 15))
    assert small[0, :, 0].tolist() == [16, 56, 96, 136]  # means of five


def test_the_window_never_leaves_the_image():
    for width in range(40, 1400, 13):
        for height in range(40, 1000, 17):
            _, (left, top, right, bottom) = cover(Camera(np.eye(3), width, height), (240, 320))
            assert 0 <= left < right <= width and 0 <= top < bottom <= height


@pytest.mark.parametrize("native", [(61, 51), (160, 120), (200, 90), (90, 200), (128, 128)])
def test_pictures_show_the_world_where_the_camera_says(native):
    """A lit disc, drawn through the native camera, lies where the stored camera projects it."""
    width, height = native
    camera = Camera(
        np.array([[90.0, 0, width / 2 + 3], [0, 90, height / 2 - 4], [0, 0, 1]]), *native
    )
    target = np.array([0.05, -0.04, 1.0])
    gap = np.linalg.norm(camera.rays() - target, axis=-1)
    image = np.repeat((255 * (gap < 0.08))[..., None], 3, axis=2).astype(np.uint8)
    view = make_view(make_frame(None, camera, image), wall(2), ORIGIN, (60, 80))
    assert view.image.shape == (view.camera.height, view.camera.width, 3)
    assert sorted(view.image.shape[:2]) == [60, 80]
    assert view.vertex_map.shape == view.image.shape[:2]
    weights = view.image[..., 0].astype(float)
    y, x = np.mgrid[: view.camera.height, : view.camera.width] + 0.5
    centre = (weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()
    np.testing.assert_allclose(centre, view.camera.project(target)[0], atol=0.35)


def slanted_depth(camera, normal=(0.3, -0.2, 1.0), distance=2.0):
    """Depth of the plane normal . x = distance, in the coordinates of the camera."""
    return (distance / (camera.rays() @ normal)).astype(np.float32)


COARSER = Camera(np.array([[20.0, 0, 13.6], [0, 21, 11.4], [0, 0, 1]]), 28, 23)
FINER = Camera(np.array([[90.0, 0, 61], [0, 88, 50], [0, 0, 1]]), 121, 99)
NARROWER = Camera(np.array([[90.0, 0, 20], [0, 90, 16], [0, 0, 1]]), 40, 32)


@pytest.mark.parametrize(
    ("source", "share_seen"), [(COARSER, 1), (FINER, 1), (NARROWER, 14 * 10 / (40 * 32))]
)
def test_depth_of_another_camera_is_the_nearest_sample(source, share_seen):
    depth = slanted_depth(source)
    found = resample_depth(depth, make_frame(depth, depth_camera=source), CAMERA)
    expected = np.zeros((32, 40), dtype=np.float32)
    for i in range(32):
        for j in range(40):
            ray = ((j + 0.5 - 20) / 30, (i + 0.5 - 16) / 30, 1)
            x, y, _ = source.K @ ray
            if 0 <= x < source.width and 0 <= y < source.height:
                expected[i, j] = depth[int(y), int(x)]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert (found > 0).mean() == pytest.approx(share_seen)


STEPS = [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)]


def half_a_pixel_off(x, y):
    K = CAMERA.K.copy()
    K[:2, 2] += (x, y)
    return Camera(K, CAMERA.width, CAMERA.height)


def test_a_depth_camera_beside_the_colour_camera():
    depth_camera_from_camera = np.eye(4)
    angle = np.radians(5)
    depth_camera_from_camera[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    depth_camera_from_camera[:3, 3] = 0.08, -0.02, 0.01
    fine = Camera(np.array([[150.0, 0, 120], [0, 150, 90], [0, 0, 1]]), 240, 180)
    # The plane 0.3 x - 0.2 y + z = 2 of the colour camera, seen by the depth camera:
    # n . R^T (x - t) = 2, so that (R n) . x = 2 + (R n) . t.
    normal = depth_camera_from_camera[:3, :3] @ (0.3, -0.2, 1.0)
    depth = slanted_depth(fine, normal, 2 + normal @ depth_camera_from_camera[:3, 3])
    frame = make_frame(depth, depth_camera=fine, depth_camera_from_camera=depth_camera_from_camera)
    found = resample_depth(depth, frame, CAMERA)
    # Somewhere within each pixel, whose corners are the centres of a camera half a pixel off.
    corners = np.stack([slanted_depth(half_a_pixel_off(*step)) for step in STEPS])
    points = CAMERA.rays() * slanted_depth(CAMERA)[..., None]
    pixels, _ = fine.project(transform(depth_camera_from_camera, points))
    inside = ((pixels > 4) & (pixels < (236, 176))).all(axis=-1)
    assert inside.mean() > 0.8
    assert (found >= corners.min(axis=0) - 1e-5)[inside].all()
    assert (found <= corners.max(axis=0) + 1e-5)[inside].all()


def test_of_two_points_in_one_pixel_the_nearer_counts():
    near_on_far = np.float32([[2, 1, 0]])  # one row of three depth pixels
    source = Camera(np.array([[1.0, 0, 1.5], [0, 1, 0.5], [0, 0, 1]]), 3, 1)
    one_pixel = Camera(np.array([[0.1, 0, 0.5], [0, 0.1, 0.5], [0, 0, 1]]), 1, 1)
    ahead = np.eye(4)
    ahead[2, 3] = 0.25  # the colour camera is 25 cm in front of the depth camera
    frame = make_frame(near_on_far, one_pixel, depth_camera=source, depth_camera_from_camera=ahead)
    assert resample_depth(near_on_far, frame, one_pixel).tolist() == [[0.75]]


def test_points_behind_the_colour_camera_are_not_seen():
    ahead = np.eye(4)
    ahead[2, 3] = 3
    frame = make_frame(full(2), depth_camera=CAMERA, depth_camera_from_camera=ahead)
    assert not resample_depth(full(2), frame, CAMERA).any()
