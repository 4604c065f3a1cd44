"""Settings of Mask R-CNN: the published schedule, and what is wrong with others."""

import re
from dataclasses import replace

import pytest

from geoset.errors import GeosetError
from geoset.recipes.instances import INSTANCE_RECIPES, PROTOCOLS, InstanceSettings
from geoset.training.schedule import learning_rate

AROUND_FALLS = (59_999, 60_000, 79_999, 80_000)  # of 90,000 steps


def test_the_published_schedule():
    scannet, nyuv2 = INSTANCE_RECIPES["scannet"], INSTANCE_RECIPES["nyuv2"]
    rates = {step: learning_rate(scannet.optimizer, step, scannet.steps) for step in AROUND_FALLS}
    assert list(rates.values()) == pytest.approx([2.5e-3, 2.5e-4, 2.5e-4, 2.5e-5])
    assert (scannet.batch, nyuv2.batch) == (16, 2)
    assert replace(nyuv2, batch=16) == scannet
    assert (scannet.optimizer.lr, scannet.regions) == (0.0025, 32)
    assert (min(scannet.sizes), max(scannet.sizes)) == (640, 800)


def test_the_protocols():
    pri3d, strict = PROTOCOLS["pri3d"], PROTOCOLS["strict"]
    assert (pri3d.score_threshold, strict.score_threshold) == (0.5, 0.05)
    assert (pri3d.min_pixels, strict.min_pixels) == (1000, 1)
    assert (pri3d.best, strict.best) == (True, False)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"protocol": "loose"}, "protocol is 'loose', expected one of pri3d, strict"),
        ({"steps": 0}, "steps is 0, expected 1 or more"),
        ({"batch": 0}, "batch is 0, expected 1 or more"),
    ],
)
def test_wrong_settings(given, text):
    with pytest.raises(GeosetError, match=re.escape(text)):
        InstanceSettings(**given)
