import numpy as np
import pytest

from geoset.reports import matches
from geoset.reports.matches import GAP, RIGHT, WRONG, draw_matches, similarity_maps, similarity_row


def cells(picture, color):
    return (picture == color).all(axis=2)


def test_right_matches_are_green_and_wrong_ones_red(monkeypatch):
    monkeypatch.setattr(matches, "WIDTH", 200)
    first, second = (np.full((40, 100, 3), gray, np.uint8) for gray in (50, 150))
    source = np.array([[10.0, 5.0], [10.0, 30.0]])
    found = np.array([[90.0, 5.0], [20.0, 30.0]])
    drawn = draw_matches(first, second, source, found, np.array([True, False]))
    assert drawn.shape == (80, 400 + GAP, 3)  # twice as large
    right, wrong = cells(drawn, RIGHT), cells(drawn, WRONG)
    assert right[10, 20 : 200 + GAP + 180].all() and not right[14:].any()
    assert wrong[60, 20 : 200 + GAP + 40].all() and not wrong[:56].any()
    assert not right[:, : 20 - matches.DOT].any() and not wrong[:, 200 + GAP + 45 :].any()
    assert (drawn[30, :200] == 50).all() and (drawn[30, 200 + GAP :] == 150).all()
    assert (first == 50).all()


def test_similarities_by_hand():
    """Cell (0, 1) of the first view points along x; lengths do not matter."""
    first = np.array([[[0.0, 2.0]], [[1.0, 0.0]]])
    second = np.array([[[-3.0, 4.0, 0.0]], [[0.0, 3.0, 0.0]]])
    maps = similarity_maps([first, second], (5.9, 0.5), (4, 6))
    np.testing.assert_allclose(maps[0], [[0, 1]])
    np.testing.assert_allclose(maps[1], [[-1, 0.8, 0]])


def test_the_row_marks_the_pixel_and_what_is_most_like_it():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 16, 30, 40))
    features[1][:, 21, 33] = 5 * features[0][:, 10, 4]
    images = [np.full((60, 80, 3), 100, np.uint8)] * 2
    row = similarity_row(images, features, (9.0, 21.0))
    assert [caption.split(",")[0] for caption, _ in row] == [
        *("the pixel", "cosine similarity", "the most similar", "cosine similarity"),
    ]
    assert all(picture.shape == (60, 80, 3) for _, picture in row)
    # centre of cell (21, 33) of 2 x 2 pixels
    for (_, picture), (x, y) in zip(row[::2], [(9, 21), (67, 43)], strict=True):
        changed = np.argwhere((picture != 100).any(axis=2))
        assert changed.mean(axis=0) == pytest.approx([y, x], abs=0.6)
        assert (picture[y, x] == 255).all()
    low = float(row[1][0].split()[2])
    lowest = min(each.min() for each in similarity_maps(features, (9, 21), (60, 80)))
    assert low == pytest.approx(lowest, abs=0.01)
