import numpy as np
import pytest

from geoset.reports import figures, predictions
from geoset.reports.class_colors import class_colors
from geoset.reports.predictions import draw_instances, segmentation_sheet

NAMES = ("wall", "floor", "chair", "toilet")
COLORS = class_colors(NAMES)


@pytest.fixture(autouse=True)
def as_they_are(monkeypatch):
    """Pictures are not enlarged."""
    monkeypatch.setattr(figures, "TILE_WIDTH", 1)
    monkeypatch.setattr(predictions, "SMALLEST", 1)


def share_of(picture, color):
    """Pixels of a colour."""
    return int((np.asarray(picture) == color).all(axis=2).sum())


def test_the_sheet_has_a_column_for_each_method_and_the_classes_that_occur():
    image = np.full((40, 50, 3), 90, np.uint8)
    truth, first, second = (np.full((40, 50), k) for k in (0, 1, 2))
    truth[:10] = -1
    sheet = segmentation_sheet(
        [image] * 2, [truth] * 2, {"a": [first] * 2, "b": [second] * 2}, NAMES
    )
    pixels = np.asarray(sheet)
    assert pixels.shape[1] == 4 * 54 + 4
    top, step = figures.MARGIN + figures.CAPTION, 40 + figures.MARGIN + figures.CAPTION
    for row in range(2):
        for column, color in enumerate([(90,) * 3, COLORS[0], COLORS[1], COLORS[2]]):
            y, x = top + row * step, figures.MARGIN + column * (50 + figures.MARGIN)
            assert (pixels[y + 10 : y + 40, x : x + 50] == color).all()
        truth_tile = pixels[top + row * step :][:10, 54 + figures.MARGIN :][:, :50]
        assert (truth_tile == 0).all()
    legend = pixels[2 * step + figures.MARGIN :]
    for color in (*COLORS[:3], (0, 0, 0)):
        assert share_of(legend, color) >= 100
    assert share_of(legend, COLORS[3]) == 0


def test_things_are_tinted_outlined_boxed_and_named():
    image = np.full((120, 160, 3), 100, np.uint8)
    masks = np.zeros((1, 120, 160), bool)
    masks[0, 60:100, 40:90] = True
    drawn = draw_instances(image, np.array([2]), NAMES, masks=masks, scores=np.array([0.914]))
    tint = np.round((100 + COLORS[2].astype(float)) / 2)
    assert (drawn[65:95, 45:85] == tint).all()
    for y, x in ((60, 50), (99, 50), (70, 40), (70, 89)):
        assert (drawn[y, x] == COLORS[2]).all()
    # Nothing outside but the name, on a patch right above the box.
    outside = np.ones((120, 160), bool)
    outside[60:100, 40:90] = False
    changed = np.argwhere((drawn != 100).any(axis=2) & outside)
    assert changed[:, 0].min() >= 40 and changed[:, 0].max() <= 60
    assert changed[:, 1].min() >= 40
    patch = drawn[changed[:, 0].min() : 60, 40 : changed[:, 1].max()]
    assert share_of(patch, COLORS[2]) > 0.5 * patch.shape[0] * patch.shape[1]
    assert (patch < 60).all(axis=2).any()  # dark letters on a bright colour
    assert (image == 100).all()


def test_boxes_need_no_masks_and_names_stay_inside():
    image = np.full((60, 200, 3), 100, np.uint8)
    boxes = np.array([[150.0, 0.0, 200.0, 50.0]])
    drawn = draw_instances(image, np.array([3]), NAMES, boxes=boxes)
    assert drawn.shape == image.shape
    assert (drawn[10:49, 199] == COLORS[3]).all() and (drawn[49, 160:200] == COLORS[3]).all()
    assert (drawn[30, 152:198] == 100).all()
    assert (drawn[:, :150] == 100).all()


def test_the_best_is_on_top():
    image = np.zeros((50, 60, 3), np.uint8)
    masks = np.ones((2, 50, 60), bool)
    for scores in ([0.2, 0.9], [0.9, 0.2]):
        drawn = draw_instances(image, np.array([0, 1]), NAMES, masks=masks, scores=np.array(scores))
        best, other = COLORS[np.argmax(scores)].astype(float), COLORS[np.argmin(scores)] / 2
        assert np.abs(drawn[40, 30] - (best + np.round(other)) / 2).max() <= 1


def test_nothing_found_is_the_image(monkeypatch):
    monkeypatch.setattr(predictions, "SMALLEST", 12)
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    none = np.zeros(0, dtype=int)
    drawn = draw_instances(image, none, NAMES, masks=np.zeros((0, 5, 6), bool))
    np.testing.assert_array_equal(drawn, image.repeat(2, axis=0).repeat(2, axis=1))
