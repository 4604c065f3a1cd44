"""Lens distortion is undone as frames are read."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from geoset.geometry.camera import Camera
from geoset.scans.distortion import Distortion, make_lens, source_pixels, undistort_frame
from geoset.scans.scan import Frame, FrameError
from reference import distortion as reference

CAMERA = Camera(np.array([[70.0, 0, 40.5], [0, 72, 29.5], [0, 0, 1]]), 80, 60)
BARREL = Distortion((-0.2, 0.05), (0.01, -0.02))
CUSHION = Distortion((0.3, 0.1), (-0.01, 0.005))


def frame_of(image, depth, camera=CAMERA, depth_camera=CAMERA, mask=None, labels=None):
    return Frame(
        name="000000",
        camera=camera,
        world_from_camera=np.eye(4),
        read_image=lambda: image,
        read_depth=None if depth is None else lambda: depth,
        depth_camera=depth_camera,
        read_labels={} if labels is None else {"semantic": lambda: labels},
        read_mask=None if mask is None else lambda: mask,
    )


def pattern(rays):
    """A smooth picture of directions: (H,W,3) uint8, and depth (H,W)."""
    x, y = rays[..., 0], rays[..., 1]
    image = np.stack([np.sin(4 * x), np.cos(5 * y), np.sin(3 * (x + y))], axis=-1)
    return np.round(127.5 + 100 * image).astype(np.uint8), (3 + x + 0.5 * y).astype(np.float32)


class TestSourcePixels:
    def test_worked_by_hand(self):
        # The centre of pixel (9, 60) is at (60.5, 9.5): x = 0.5, y = 0, r2 = 0.25.
        camera = Camera(np.array([[100.0, 0, 10.5], [0, 200, 9.5], [0, 0, 1]]), 80, 60)

        def at(distortion):
            return source_pixels(camera, distortion)[9, 60].tolist()

        assert at(Distortion((0.1,))) == pytest.approx([10.5 + 100 * 0.5 * 1.025, 9.5])
        assert at(Distortion((0, 0.1))) == pytest.approx([10.5 + 100 * 0.5 * 1.00625, 9.5])
        assert at(Distortion((), (0.01, 0))) == pytest.approx([60.5, 9.5 + 200 * 0.01 * 0.25])
        assert at(Distortion((), (0, 0.01))) == pytest.approx([60.5 + 100 * 0.01 * 0.75, 9.5])

    @pytest.mark.parametrize("distortion", [BARREL, CUSHION, Distortion((0.1, 0, 0.2, -0.1))])
    def test_like_the_loop(self, distortion):
        expected = reference.source_pixels(CAMERA, distortion.radial, distortion.tangential)
        outside = (expected < 0).any(axis=-1) | (expected > [80, 60]).any(axis=-1)
        found = source_pixels(CAMERA, distortion)
        np.testing.assert_array_equal(np.isnan(found).all(axis=-1), outside)
        np.testing.assert_allclose(found[~outside], expected[~outside], atol=1e-4)

    def test_the_lens_is_not_followed_back_inwards(self):
        # x - 0.5 x^3 turns back at x = sqrt(2/3): beyond it, the polynomial repeats the middle.
        camera = Camera(np.array([[40.0, 0, 60], [0, 40, 5], [0, 0, 1]]), 120, 10)
        found = source_pixels(camera, Distortion((-0.5,)))
        x, y = camera.rays()[..., 0], camera.rays()[..., 1]
        np.testing.assert_array_equal(
            np.isnan(found[..., 0]), np.hypot(x, y) > np.sqrt(2 / 3), strict=True
        )


class TestUndistortFrame:
    @pytest.mark.parametrize("distortion", [BARREL, CUSHION])
    def test_an_analytic_picture_comes_back(self, distortion):
        through_lens = reference.rays_of_lens(CAMERA, distortion.radial, distortion.tangential)
        frame = undistort_frame(frame_of(*pattern(through_lens)), distortion)
        image, depth = pattern(CAMERA.rays())
        seen = ~frame.masked(60, 80)
        assert seen.mean() > 0.5
        assert np.abs(frame.image().astype(int) - image)[seen].max() <= 3
        # Depth is of the nearest pixel, up to 0.7 of which is 0.7 / 70 of a ray
        assert np.abs(frame.depth() - depth)[seen].max() < 0.02
        undone = np.abs(pattern(through_lens)[0].astype(int) - image)[seen].max()
        assert undone > 15  # there is something to undo

    def test_what_the_lens_did_not_see_is_masked_and_has_no_depth(self):
        ones = np.ones((60, 80), np.float32)
        image = np.full((60, 80, 3), 200, np.uint8)
        frame = undistort_frame(frame_of(image, ones, labels=ones.astype(int)), CUSHION)
        outside = np.isnan(source_pixels(CAMERA, CUSHION)).any(axis=-1)
        assert 0.1 < outside.mean() < 0.5
        np.testing.assert_array_equal(frame.masked(60, 80), outside)
        np.testing.assert_array_equal(frame.depth() == 0, outside)
        np.testing.assert_array_equal(frame.label("semantic") == 0, outside)
        np.testing.assert_array_equal((frame.image() == 0).all(axis=-1), outside)
        np.testing.assert_array_equal((frame.image() == 200).all(axis=-1), ~outside)

    def test_the_mask_is_undistorted_too(self):
        mask = np.zeros((30, 40), np.uint8)  # of half the size
        mask[3, 35] = 255
        frame = undistort_frame(frame_of(None, None, mask=mask), BARREL)
        source = source_pixels(CAMERA.resized(30, 40), BARREL)
        expected = (np.floor(source) == [35, 3]).all(axis=-1) | np.isnan(source).any(axis=-1)
        np.testing.assert_array_equal(frame.masked(30, 40), expected)
        assert not frame.masked(30, 40)[3, 35]

    @pytest.mark.parametrize("centre", [10.125, 9.0])
    def test_depth_of_a_camera_of_its_own(self, centre):
        small = CAMERA.resized(15, 20)
        small = replace(small, K=np.array([[17.5, 0, centre], *small.K[1:]]))
        depth = np.arange(300, dtype=np.float32).reshape(15, 20)
        frame = undistort_frame(frame_of(None, depth, depth_camera=small), BARREL)
        column, row = np.floor(source_pixels(small, BARREL)).astype(int).transpose(2, 0, 1)
        seen = frame.depth() > 0
        assert seen.mean() > 0.9
        np.testing.assert_array_equal(frame.depth()[seen], depth[row, column][seen])

    def test_like_scipy(self):
        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        found = undistort_frame(frame_of(image, None), BARREL).image()
        source = source_pixels(CAMERA, BARREL)
        at = np.nan_to_num(source).transpose(2, 0, 1)[::-1] - 0.5
        for channel in range(3):
            expected = map_coordinates(
                image[..., channel].astype(float), at, order=1, mode="nearest"
            )
            expected[np.isnan(source).any(axis=-1)] = 0
            assert np.abs(found[..., channel] - expected).max() <= 0.5 + 1e-3

    def test_a_file_of_another_size_is_still_an_error(self):
        frame = undistort_frame(frame_of(np.zeros((30, 80, 3), np.uint8), None), BARREL)
        with pytest.raises(FrameError, match="colour image is 80x30, expected 80x60"):
            frame.image()

    def test_a_pinhole_stays_as_it_is(self):
        frame = frame_of(None, None)
        assert undistort_frame(frame, Distortion((0.0, 0.0))) is frame


class TestMakeLens:
    def test_numbers_may_be_text(self):
        lens = make_lens("file", ["500", 510, 320, "240.5", 640, 480], ["0.1", 0], (0, -0.2))
        assert lens.camera.K.tolist() == [[500, 0, 320], [0, 510, 240.5], [0, 0, 1]]
        assert (lens.camera.width, lens.camera.height) == (640, 480)
        assert lens.distortion == Distortion((0.1, 0.0), (0.0, -0.2))

    @pytest.mark.parametrize("index", range(6))
    @pytest.mark.parametrize("value", ["abc", None, float("nan"), float("inf"), 10**400, [1]])
    def test_no_number(self, index, value):
        values = [500, 510, 320, 240, 640, 480]
        values[index] = value
        with pytest.raises(FrameError, match="file: expected numbers fx, fy > 0") as error:
            make_lens("file", values)
        assert error.value.reason == "unusable intrinsics"

    @pytest.mark.parametrize(("index", "value"), [(0, 0), (1, -500), (4, 0), (5, 0.5), (5, 1e9)])
    def test_no_camera(self, index, value):
        values = [500, 510, 320, 240, 640, 480]
        values[index] = value
        with pytest.raises(FrameError, match=r"width and height \(1 to 100000\)"):
            make_lens("file", values)

    def test_no_distortion(self):
        with pytest.raises(FrameError, match="those of distortion; found"):
            make_lens("file", [500, 510, 320, 240, 640, 480], [float("nan")])
