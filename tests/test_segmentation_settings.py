from dataclasses import replace

import pytest

from geoset import GeosetError
from geoset.recipes import OptimizerSettings
from geoset.recipes.segmentation import (
    PROTOCOLS,
    SEGMENTATION_RECIPES,
    SegmentationSettings,
    segmentation_at_small_scale,
)


@pytest.mark.parametrize(
    ("name", "length", "batch", "rates", "decay", "dampening", "augmentation"),
    [
        ("unet", (80, None), 8, (0.01, 0.01), 0.0, 0.1, "none"),
        ("deeplabv3", (None, 50_000), 16, (0.001, 0.01), 1e-4, 0.0, "flip_blur"),
        ("deeplabv3plus", (None, 50_000), 16, (0.001, 0.01), 1e-4, 0.0, "flip_blur"),
        ("pspnet", (50, None), 16, (0.01, 0.1), 1e-4, 0.0, "flip_blur"),
    ],
)
def test_recipes_are_those_of_the_paper(name, length, batch, rates, decay, dampening, augmentation):
    """Rates: of the encoder and of the heads."""
    recipe = SEGMENTATION_RECIPES[name]
    assert recipe.architecture == name
    assert (recipe.epochs, recipe.steps) == length
    assert (recipe.batch, recipe.size, recipe.augmentation) == (batch, (240, 320), augmentation)
    rate = recipe.optimizer.lr
    assert (recipe.encoder_lr_factor * rate, rate) == pytest.approx(rates)
    assert (recipe.optimizer.kind, recipe.optimizer.power) == ("sgd", 0.9)
    assert (recipe.optimizer.weight_decay, recipe.optimizer.dampening) == (decay, dampening)
    assert recipe.optimizer.batchnorm_decay == (name == "unet")
    assert recipe.auxiliary_weight == 0.4
    assert (recipe.backbone, recipe.encoder) == ("resnet50", "imagenet")


def test_protocols():
    assert PROTOCOLS["pri3d"] == (True, True, True)
    assert PROTOCOLS["strict"] == (False, False, False)
    assert SegmentationSettings().protocol == "strict"


def test_small_scale_keeps_what_is_compared():
    for name, recipe in SEGMENTATION_RECIPES.items():
        small = segmentation_at_small_scale(replace(recipe, protocol="pri3d"), steps=9)
        assert (small.architecture, small.protocol, small.steps) == (name, "pri3d", 9)
        assert (small.backbone, small.width, small.size) == ("resnet18", 0.25, (96, 128))
        assert small.optimizer.kind == "adamw"
        assert small.augmentation == recipe.augmentation


def test_weights_of_a_pre_training_take_a_higher_rate():
    rates = {
        encoder: segmentation_at_small_scale(SegmentationSettings(), encoder=encoder).optimizer.lr
        for encoder in ("scratch", "runs/first")
    }
    assert rates == {"scratch": 2e-3, "runs/first": 4e-3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "paper"}, "protocol is 'paper', expected one of pri3d, strict"),
        ({"epochs": None}, "steps is None, epochs is None, expected one of them, above 0"),
        ({"steps": 0}, "steps is 0, epochs is 80, expected one of them, above 0"),
        ({"batch": 0}, "batch is 0, expected 1 or more"),
        ({"snapshots": 0}, "snapshots is 0, expected 1 or more"),
        ({"encoder_lr_factor": -1}, "encoder_lr_factor is -1, expected 0 or more"),
        ({"auxiliary_weight": -0.1}, "auxiliary_weight is -0.1, expected 0 or more"),
        ({"optimizer": {"lr": 0.0}}, "lr is 0.0; expected a number above 0"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(GeosetError, match=message):
        if "optimizer" in change:
            OptimizerSettings(**change["optimizer"])
        SegmentationSettings(**change)
