"""Pages and charts: self-contained, escaped, and with the data in them."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from geoset.reports import page
from geoset.reports.charts import draw_curves, training_curves
from geoset.reports.figures import paint_features


def test_nothing_is_fetched_and_text_is_escaped():
    picture = page.picture(Image.new("RGB", (4, 3), (255, 0, 0)), "a < b")
    built = page.page("1 & 2", "lead", [("more", [page.text("<b>"), picture])])
    assert "<title>1 &amp; 2</title>" in built
    assert "&lt;b&gt;" in built
    assert "a &lt; b" in built
    assert not re.search(r"https?://|<script|<link", built)


def test_only_long_cells_are_broken_into_lines():
    built = page.table(
        ["x"], [["a", "61.3 ± 0.4 (5) [61.7]"], ["b", "not to be told apart at all"]]
    )
    assert "<td>61.3 ± 0.4 (5) [61.7]</td>" in built
    assert "<td class=words>not to be told apart at all</td>" in built


def test_wide_pictures_scroll_rather_than_shrink_to_nothing():
    assert "min-width:600px" in page.picture(Image.new("RGB", (1000, 3)), "a")
    assert "<svg style='min-width:80px' width=\"100pt\">" in page.chart('<svg width="100pt">', "b")


def test_folded_blocks():
    built = page.folded("1 < 2", ["<p>x</p>", "<p>y</p>"])
    expected = "<details><summary>1 &lt; 2</summary><p>x</p>\n<p>y</p></details>"
    assert built == expected


LOG = [
    {"step": 1, "stage": "pri3d", "view/chance": 1.0, "depth/loss": 0.4, "rank": 3.0},
    {"step": 2, "stage": "pri3d", "view/chance": None, "depth/loss": 0.2, "rank": 4.0},
    {"step": 3, "stage": "sets", "sets/chance": 0.9, "sets/positive": 0.5, "rank": 5.0},
]
SEGMENTATION = [{"step": k, "loss": 1 / k, "accuracy": k / 9, "labelled": 1.0} for k in (1, 2)]


@pytest.mark.parametrize(
    ("rows", "panels"), [(LOG, 4), (LOG[:2], 3), (SEGMENTATION, 2), ([{"step": 1}], 1)]
)
def test_curves_have_a_panel_for_each_kind_of_term_and_bridge_missing_ones(rows, panels):
    root = ElementTree.fromstring(training_curves([{"stage": "a"} | row for row in rows]))
    axes = [node for node in root.iter() if re.match(r"axes_\d+$", node.get("id", ""))]
    assert len(axes) == panels


def test_curves_as_a_picture(tmp_path):
    draw_curves([], tmp_path / "none.png")
    assert not list(tmp_path.iterdir())
    draw_curves(LOG, tmp_path / "curves.png")
    picture = np.asarray(Image.open(tmp_path / "curves.png"))
    assert picture.shape[1] > 4 * picture.shape[0]
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


class TestPaintFeatures:
    def test_one_basis_for_all_pictures(self):
        generator = np.random.default_rng(0)
        kinds = generator.normal(size=(2, 6))
        left, right = np.zeros((6, 4, 4)), np.zeros((6, 4, 4))
        left[:] = kinds[0][:, None, None]
        left[:, :, 2:] = kinds[1][:, None, None]
        right[:] = kinds[1][:, None, None]
        first, second = paint_features([left, right], (4, 4))
        np.testing.assert_array_equal(first[:, 3], second[:, 0])
        assert np.abs(first[0, 0].astype(int) - first[0, 3]).max() > 200

    def test_size_and_scale_of_features_do_not_matter(self):
        features = np.random.default_rng(1).normal(size=(8, 6, 5))
        (small,) = paint_features([features], (12, 10))
        (large,) = paint_features([1000 * features], (12, 10))
        assert small.shape == (12, 10, 3)
        assert small.dtype == np.uint8
        np.testing.assert_allclose(small.astype(int), large, atol=1)

    @pytest.mark.parametrize("channels", [3, 16])
    def test_constant_features_are_no_error(self, channels):
        (picture,) = paint_features([np.ones((channels, 4, 4))], (4, 4))
        assert (picture == picture[0, 0]).all()
