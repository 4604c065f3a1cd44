"""Pictures of groups: the set is bright, its surroundings grey, its window inside the frame."""

import numpy as np
import pytest

from geoset.prepare.run import prepare_scene
from geoset.prepare.scene import PreparedScene
from geoset.recipes import PrepareSettings
from geoset.reports.group_sheet import (
    OUTLINE,
    TILE,
    Example,
    choose_examples,
    draw_set,
    group_sheet,
    surroundings,
)
from reference.box_room import POSES, write_box_room

H, W = TILE


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    scan = write_box_room(folder / "room", POSES[:2])
    prepare_scene(scan, folder / "out", PrepareSettings(image_size=(96, 128)))
    return PreparedScene(folder / "out/room")


def largest_set(scene, frame):
    labels, counts = np.unique(scene.set_map(frame), return_counts=True)
    return int(labels[counts.argmax()])


def test_a_set_is_bright_and_coloured_the_rest_grey(scene):
    label = largest_set(scene, 0)
    pixels = np.asarray(draw_set(Example(scene, 0, label), "geometric")).astype(int)
    assert pixels.shape == (H, W, 3)
    ring = (pixels == OUTLINE).all(axis=2)
    colored = (np.ptp(pixels, axis=2) > 6) & ~ring
    grey = (np.ptp(pixels, axis=2) == 0) & ~ring
    assert 0.005 < ring.mean() < 0.2 and colored.any() and grey.any()
    assert pixels[colored].mean() > 1.3 * pixels[grey].mean()
    share = (scene.set_map(0) == label).mean()
    assert (colored.mean() > 0.9 * share) and not (colored & grey).any()


@pytest.mark.parametrize("shape", [(96, 128), (128, 96), (60, 200)])
@pytest.mark.parametrize("seed", range(6))
def test_the_window_holds_the_set_and_lies_in_the_frame(shape, seed):
    rng = np.random.default_rng(seed)
    inside = np.zeros(shape, dtype=bool)
    top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
    inside[top : top + rng.integers(1, 30), left : left + rng.integers(1, 40)] = True
    x0, y0, x1, y1 = surroundings(inside)
    rows, columns = np.nonzero(inside)
    assert -1e-9 <= x0 <= columns.min() and columns.max() + 1 <= x1 <= shape[1] + 1e-9
    assert -1e-9 <= y0 <= rows.min() and rows.max() + 1 <= y1 <= shape[0] + 1e-9
    assert (x1 - x0) / (y1 - y0) == pytest.approx(W / H)


def test_a_set_as_large_as_the_frame():
    assert surroundings(np.ones((96, 128), bool)) == pytest.approx((0, 0, 128, 96))
    x0, y0, x1, y1 = surroundings(np.ones((100, 300), bool))
    assert (y0, y1) == pytest.approx((0, 100)) and x1 - x0 == pytest.approx(100 * W / H)


def test_a_sheet_has_a_row_for_each_group(scene):
    example = Example(scene, 0, largest_set(scene, 0))
    sheet = group_sheet([("first", [example, example]), ("second", [example])], "geometric")
    pixels = np.asarray(sheet)
    tile = np.asarray(draw_set(example, "geometric"))
    places = [
        (row, column)
        for row in range(pixels.shape[0] - H + 1)
        for column in range(pixels.shape[1] - W + 1)
        if (pixels[row, column] == tile[0, 0]).all()
        and np.array_equal(pixels[row : row + H, column : column + W], tile)
    ]
    assert [places[0][0] == places[1][0], places[1][1] > places[0][1]] == [True, True]
    assert len(places) == 3 and places[2][1] == places[0][1] and places[2][0] > places[0][0] + H
    captions = (pixels[: places[0][0]] < 128).any(), (pixels[places[0][0] + H :][:18] < 128).any()
    assert captions == (True, True)


def test_examples_come_from_as_many_scenes_as_there_are():
    candidates = [np.array([3, 5, 9]), np.array([]), np.array([2]), np.array([1, 4])]
    chosen = choose_examples(candidates, 3, np.random.default_rng(0))
    assert sorted(scene for scene, _ in chosen) == [0, 2, 3]
    everything = choose_examples(candidates, 10, np.random.default_rng(0))
    expected = [(0, 3), (0, 5), (0, 9), (2, 2), (3, 1), (3, 4)]
    assert sorted(everything) == expected
    assert sorted(scene for scene, _ in everything[:3]) == [0, 2, 3]
    draws = {tuple(choose_examples(candidates, 3, np.random.default_rng(k))) for k in range(20)}
    assert len(draws) > 5
