"""Charts with intervals: every cell that was run is there, and no other."""

import re
import xml.etree.ElementTree as ElementTree

from geoset.reports.interval_charts import difference_dots, score_lines


def cell(mean, margin=0.5, significant=False):
    return {"mean": mean, "margin": margin, "significant": significant}


NOT_RUN = cell(None, None, None)


def drawn(svg, kind):
    """Groups of an SVG by matplotlib's names of them."""
    groups = [node for node in ElementTree.fromstring(svg).iter() if node.get("id")]
    return [node for node in groups if re.match(rf"{kind}_\d+$", node.get("id"))]


def markers(svg):
    """Markers drawn at data points; those of ticks and legends have styles of their own."""
    return len(re.findall(r"<use [^>]*style=\"fill: #(?:1f77b4|ff7f0e)", svg))


def test_a_line_for_each_method_without_what_was_not_run():
    svg = score_lines(
        [0.2, 0.6, 1.0],
        {
            "scratch": [cell(10), cell(12), cell(13, None)],
            "view": [cell(12), NOT_RUN, cell(14)],
            "sets": [NOT_RUN] * 3,
        },
    )
    words = re.findall(r"<!-- (.*?) -->", svg)
    assert {"scratch", "view", "20", "60", "100", "mIoU, %"} <= set(words)
    assert "sets" not in words
    one_less = score_lines([0.2, 0.6, 1.0], {"scratch": [cell(10), NOT_RUN, cell(13, None)]})
    full = score_lines([0.2, 0.6, 1.0], {"scratch": [cell(10), cell(12), cell(13, None)]})
    # a point and the two caps of its interval
    assert markers(full) - markers(one_less) == 3


def test_one_seed_has_no_interval():
    whole = score_lines([0.2, 1.0], {"scratch": [cell(10), cell(12)]})
    half = score_lines([0.2, 1.0], {"scratch": [cell(10), cell(12, None)]})
    none = score_lines([0.2, 1.0], {"scratch": [cell(10, None), cell(12, None)]})
    # Two points, two caps of each interval, and the same in the legend.
    assert [markers(svg) for svg in (whole, half, none)] == [6 + 3, 4 + 3, 2 + 1]


def test_the_same_chart_twice_is_the_same_text():
    scores = {"scratch": [cell(10), cell(12)]}
    assert score_lines([0.2, 1.0], scores) == score_lines([0.2, 1.0], scores)


def test_nothing_run_is_a_chart_without_lines():
    assert len(drawn(score_lines([0.5, 1.0], {"sets": [NOT_RUN, NOT_RUN]}), "axes")) == 1


def test_a_panel_for_each_score_and_filled_dots_for_what_is_significant():
    panels = {
        "probe": {"view": cell(1.5, 0.2, True), "sets": cell(-0.1)},
        "fine-tuned": {"view": NOT_RUN, "sets": cell(0.3, None, None)},
    }
    svg = difference_dots(panels)
    assert len(drawn(svg, "axes")) == 2
    words = re.findall(r"<!-- (.*?) -->", svg)
    assert words.count("view") == words.count("sets") == 1  # beside the first panel
    assert len(re.findall(r"<use [^>]*fill: #ffffff; stroke: #7a8496", svg)) == 2
    assert len(re.findall(r"<use [^>]*fill: #2f6fde; stroke: #2f6fde", svg)) >= 1


def test_published_figures_are_dashed_beside_ours():
    ours = [cell(10) | {"published": 51.5}, cell(12)]
    svg = score_lines([0.2, 1.0], {"sets": ours, "scratch": [cell(5), cell(6)]})
    words = re.findall(r"<!-- (.*?) -->", svg)
    assert "sets, published" in words
    assert "scratch, published" not in words
    plain = score_lines([0.2, 1.0], {"sets": [cell(10), cell(12)]})
    assert "stroke-dasharray" not in plain
    assert "stroke-dasharray" in svg
