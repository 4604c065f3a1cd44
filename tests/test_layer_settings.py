"""Settings of layers and groups say at once what is wrong with them."""

import re
from pathlib import Path

import pytest

from geoset.errors import GeosetError
from geoset.recipes import GroupSettings, LayerSettings

FOLDER = Path("labels")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "layers are asked by nothing, expected one of --threshold K..., --labels FOLDER"),
        (
            {"threshold": (0.1,), "images": "semantic"},
            "layers are asked by threshold and images, expected one of --threshold K...",
        ),
        ({"labels": FOLDER}, "labels need a name for their layer: add --name NAME"),
        (
            {"threshold": (0.1,), "name": "mine"},
            "the name is 'mine', but layers of thresholds are called geometric-K; leave --name out",
        ),
        (
            {"images": "semantic", "scope": "global"},
            "the scope is 'global', but only --labels has a choice of it; leave --scope out",
        ),
        ({"labels": FOLDER, "name": "../mine"}, "the name is '../mine', expected letters, digits"),
        ({"labels": FOLDER, "name": ""}, "the name is '', expected letters, digits, '.', '_'"),
    ],
)
def test_layers(given, text):
    with pytest.raises(GeosetError, match=re.escape(text)):
        LayerSettings(**given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        *(
            ({"by": by}, f"by is '{by}', expected geometry, random, layer:NAME, features:CKPT or")
            for by in ("colour", "layer", "layer:", "geometry:60", "")
        ),
        ({"name": "a/b"}, "the name is 'a/b', expected letters, digits, '.', '_' and '-'"),
        ({"count": 0}, "count is 0, expected 1 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"up": (0, 0, 0)}, "up is (0, 0, 0), expected a direction, such as 0 0 1"),
        ({"up": (0, 0, float("nan"))}, "up is (0, 0, nan), expected a direction"),
    ],
)
def test_groups(given, text):
    with pytest.raises(GeosetError, match=re.escape(text)):
        GroupSettings(**given)
