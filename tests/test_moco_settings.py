from dataclasses import replace

import pytest

from geoset import GeosetError
from geoset.recipes import RECIPES, ModelSettings, Photometric
from geoset.recipes.moco import MocoSettings, moco_at_small_scale


def test_the_defaults_are_those_of_the_paper():
    """Batch 256, 100 epochs, lr 0.03 cosine from ImageNet weights; the rest is MoCo v2's."""
    settings = MocoSettings()
    assert settings.model == ModelSettings("resnet50", weights="imagenet")
    assert (settings.batch, settings.epochs, settings.steps) == (256, 100, None)
    optimizer = settings.optimizer
    assert (optimizer.kind, optimizer.lr, optimizer.schedule) == ("sgd", 0.03, "cosine")
    assert (optimizer.momentum, optimizer.dampening, optimizer.weight_decay) == (0.9, 0.0, 1e-4)
    assert (optimizer.warmup, optimizer.batchnorm_decay) == (0, False)
    assert (settings.temperature, settings.queue, settings.momentum) == (0.2, 65_536, 0.999)
    assert (settings.feature_dim, settings.batchnorm_images) == (128, 256 // 8)
    assert (settings.crop, settings.crop_scale) == ((224, 224), (0.2, 1.0))
    look = settings.augmentation
    assert look == Photometric(0.8, 0.4, 0.4, 0.4, 0.1, 0.2, 0.5, (0.1, 2.0))  # aug-plus


def test_the_small_scale_has_the_network_of_the_benchmark():
    small = moco_at_small_scale(7)
    assert small.model == RECIPES["demo"].model
    assert (small.steps, small.batch, small.queue) == (7, 64, 1024)
    assert (small.optimizer.kind, small.optimizer.lr) == ("adamw", 2e-3)
    assert small.augmentation == MocoSettings().augmentation


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": None}, "steps is None, epochs is None, expected one of them, above 0"),
        ({"steps": 0}, "steps is 0, epochs is 100, expected one of them, above 0"),
        ({"batch": 0}, "batch is 0, expected 1 or more"),
        ({"feature_dim": 0}, "feature_dim is 0, expected 1 or more"),
        ({"batchnorm_images": 0}, "batchnorm_images is 0, expected 1 or more"),
        ({"crop": (96, 48)}, "crop is (96, 48), expected 64 or more pixels a side"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale is 0.0, 1.0, expected 0 < lowest <= highest <= 1"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale is 0.5, 0.2, expected 0 < lowest <= highest <= 1"),
        ({"queue": 255}, "queue is 255, with a batch of 256, expected a queue that holds a batch"),
        ({"momentum": 1.0}, "momentum is 1.0, expected 0 <= momentum < 1, such as 0.999"),
        ({"temperature": 0.0}, "temperature is 0.0, expected a number above 0"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(GeosetError) as error:
        replace(MocoSettings(), **values)
    assert str(error.value).startswith(message)
