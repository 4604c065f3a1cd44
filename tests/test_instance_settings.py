"""Settings of Mask R-CNN: the published schedule, and what is wrong with others."""

import re
from dataclasses import replace

import pytest

from geoset.errors import GeosetError
from geoset.recipes import OptimizerSettings
from geoset.recipes.instances import INSTANCE_RECIPES, PROTOCOLS, InstanceSettings


def test_the_published_schedule():
    scannet, nyuv2 = INSTANCE_RECIPES["scannet"], INSTANCE_RECIPES["nyuv2"]
    assert (scannet.steps, scannet.starts) == (90_000, (0, 60_000, 80_000))
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
        ({"falls": (0.5, 0.5)}, "falls are 0.5, 0.5 of 90000 steps, expected growing shares"),
        ({"falls": (0.9, 0.5)}, "falls are 0.9, 0.5 of 90000 steps, expected growing shares"),
        ({"falls": (1.0,)}, "falls are 1.0 of 90000 steps, expected growing shares"),
        ({"falls": (-0.5,)}, "falls are -0.5 of 90000 steps, expected growing shares"),
        ({"falls": (0.3,), "steps": 1}, "falls are 0.3 of 1 steps, expected growing shares"),
        (
            {"optimizer": OptimizerSettings(schedule="poly")},
            "the schedule is poly, with falls besides, expected the schedule constant, or no falls",
        ),
    ],
)
def test_wrong_settings(given, text):
    with pytest.raises(GeosetError, match=re.escape(text)):
        InstanceSettings(**given)
