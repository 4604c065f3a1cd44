from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from geoset.errors import GeosetError
from geoset.scans.trajectory import (
    is_full_rate,
    is_video,
    nearest_in_time,
    numbers,
    read_words,
    rigid,
    rotation_of_axis_angle,
    rotation_of_quaternion,
)


def test_words_without_comments_and_empty_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"# time x\n1 2.5\r\n\n  #end\n\xff 3 4\n")
    assert read_words(tmp_path / "a.txt") == [["1", "2.5"], ["\N{REPLACEMENT CHARACTER}", "3", "4"]]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeosetError, match=r"a.txt: file is missing"):
        read_words(tmp_path / "a.txt")


def test_rows_that_are_not_that_many_numbers_are_nan():
    rows = [["1", "2e3"], ["1"], ["1", "two"], ["1", "2", "3"], ["-inf", "4"]]
    nan = np.nan
    expected = [[1, 2000], [nan, nan], [nan, nan], [nan, nan], [-np.inf, 4]]
    np.testing.assert_array_equal(numbers(rows, 2), expected)
    assert numbers([], 3).shape == (0, 3)


class TestNearestInTime:
    def test_worked_by_hand(self):
        times = np.array([10.0, 30, np.nan, 20, np.inf])
        #  wanted:  far, near 10, tie of 10 and 20 (the earlier), near 20, near 30, no number
        wanted = np.array([0.0, 9, 15, 21, 34, np.nan])
        assert nearest_in_time(times, wanted, 5).tolist() == [-1, 0, 0, 3, 1, -1]

    def test_agrees_with_looking_at_all(self):
        rng = np.random.default_rng(0)
        times, wanted = rng.random(50), rng.random(200)
        gaps = np.abs(times - wanted[:, None])
        expected = np.where(gaps.min(axis=1) <= 0.01, gaps.argmin(axis=1), -1)
        assert (expected == -1).any()
        np.testing.assert_array_equal(nearest_in_time(times, wanted, 0.01), expected)

    def test_no_times(self):
        assert nearest_in_time(np.array([np.nan]), np.ones(2), 9).tolist() == [-1, -1]
        assert nearest_in_time(np.ones(2), np.empty(0), 9).tolist() == []


class TestRotations:
    def test_quaternion(self):
        """A quarter turn about z takes x to y; the scalar comes last."""
        half = np.sqrt(0.5)
        rotation = rotation_of_quaternion(np.array([[0, 0, half, half]]))
        np.testing.assert_allclose(rotation[0] @ [1, 0, 0], [0, 1, 0], atol=1e-12)

    def test_no_unit_quaternion_is_no_rotation(self):
        usable = [0, 0, 0.6, 0.8]
        rows = np.array([usable, [0, 0, 0, 0], [0, 0, 0, 2], [np.nan, 0, 0, 1], [1e300, 0, 0, 0]])
        rotations = rotation_of_quaternion(rows)
        np.testing.assert_allclose(rotations[0], Rotation.from_quat(usable).as_matrix())
        assert not rotations[1:].any()

    def test_axis_angle(self):
        """Half a turn about y mirrors x and z."""
        rotations = rotation_of_axis_angle(np.array([[0, np.pi, 0], [0, 0, 0], [np.inf, 0, 0]]))
        np.testing.assert_allclose(rotations[0], np.diag([-1, 1, -1]), atol=1e-12)
        np.testing.assert_array_equal(rotations[1], np.eye(3))
        assert not rotations[2].any()

    def test_rigid(self):
        pose = rigid(2 * np.eye(3)[None], np.array([[3, 4, 5]]))[0]
        np.testing.assert_array_equal(
            pose, [[2, 0, 0, 3], [0, 2, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1]]
        )


@pytest.mark.parametrize(
    ("count", "rate", "expected"),
    [(250, 30, True), (250, 20.01, True), (249, 30, False), (1000, 10, False), (1000, 0, False)],
)
def test_full_rate(count, rate, expected):
    times = 1305031102 + np.arange(count) / rate if rate else np.ones(count)
    assert is_full_rate(times) is expected


def test_few_gaps_do_not_end_a_video():
    times = np.arange(300) / 30
    times[100:] += 60
    assert is_full_rate(times)
    assert not is_full_rate(np.repeat(times, 2))


def frames(names, metres=0.0, degrees=0.0):
    """Frames of a camera that moves and turns by so much from one to the next."""
    poses = np.tile(np.eye(4), (len(names), 1, 1))
    turns = np.radians(degrees) * np.arange(len(names))[:, None] * [0, 1, 0]
    poses[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    poses[:, 0, 3] = metres * np.arange(len(names))
    pairs = zip(names, poses, strict=True)
    return [SimpleNamespace(name=name, world_from_camera=pose) for name, pose in pairs]


class TestIsVideo:
    @pytest.mark.parametrize("name", ["{}", "{:06d}", "frame{:06d}", "seq-01/frame-{:06d}"])
    @pytest.mark.parametrize(
        ("count", "gap", "expected"), [(250, 1, True), (249, 1, False), (250, 2, False)]
    )
    def test_numbers_without_gaps(self, name, count, gap, expected):
        assert is_video(frames([name.format(gap * k) for k in range(count)])) is expected

    @pytest.mark.parametrize("name", ["IMG_{:04d}", "frame_{:05d}", "98000{:06d}.5", "desk"])
    def test_names_that_are_no_numbers(self, name):
        assert not is_video(frames([name.format(k) for k in range(300)]))

    def test_two_videos_one_after_the_other(self):
        assert is_video(frames([*map(str, range(200)), *map(str, range(200))]))

    @pytest.mark.parametrize(
        ("metres", "degrees", "expected"), [(0.02, 1.5, True), (0.04, 0, False), (0, 3, False)]
    )
    def test_numbers_of_chosen_frames(self, metres, degrees, expected):
        """Of a video every fifth frame, say, numbered anew."""
        assert is_video(frames([str(k) for k in range(300)], metres, degrees)) is expected

    def test_times_need_no_numbers_and_no_poses(self):
        names = [f"{k}.png" for k in range(300)]
        assert is_video(frames(names, 1, 90), {name: k / 30 for k, name in enumerate(names)})
        assert not is_video(frames(names), {name: k / 10 for k, name in enumerate(names)})
