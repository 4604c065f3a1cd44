"""Dots where points are found, rings where they are."""

import numpy as np

from geoset.reports.found_points import DOT, RING, draw_found


def test_a_dot_a_ring_and_a_line_between():
    image = np.zeros((96, 128, 3), np.uint8)  # enlarged twice
    picture = draw_found(image, np.array([[20.0, 30.0]]), np.array([[100.0, 30.0]]))
    assert picture.shape == (192, 256, 3)
    color = picture[60, 40]
    assert color.any()
    np.testing.assert_array_equal(picture[60, 120], color)  # the line
    np.testing.assert_array_equal(picture[60 - RING, 200], color)
    assert not picture[60 - RING + 3, 200].any()  # a ring is not filled
    assert not picture[60 - DOT - 3, 40].any()
    assert not picture[100:].any()


def test_points_have_colours_of_their_own():
    places = np.array([[10.0 + 10 * k, 40.0] for k in range(8)])
    picture = draw_found(np.zeros((96, 128, 3), np.uint8), places, places)
    assert len({tuple(picture[80, int(2 * x)]) for x, _ in places}) == 8
