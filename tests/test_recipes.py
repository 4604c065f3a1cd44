import math
from dataclasses import replace
from typing import get_args

import pytest

from geoset import GeosetError, cli
from geoset.recipes import (
    RECIPES,
    FusionSettings,
    Hardware,
    ModelSettings,
    OptimizerSettings,
    Photometric,
    PrepareSettings,
    PretrainRecipe,
    StageSettings,
)

STAGE = StageSettings("view", steps=1, view=1.0)


def test_the_paper_recipe():
    """Sec. 4.1, and Pri3D where the paper says nothing."""
    paper = RECIPES["paper"]
    view, sets = paper.stages
    assert (view.epochs, view.view, view.sets) == (5, 1, 0)
    assert (sets.epochs, sets.view, sets.sets) == (2, 0, 1)
    for stage in paper.stages:
        optimizer = stage.optimizer
        assert (optimizer.kind, optimizer.lr, optimizer.momentum) == ("sgd", 0.1, 0.9)
        assert (optimizer.dampening, optimizer.weight_decay) == (0.1, 0)
        assert (optimizer.schedule, optimizer.power) == ("poly", 0.9)
        assert optimizer.batchnorm_decay
    assert paper.model == ModelSettings("resnet50", out_channels=None, width=1.0)
    assert (paper.batch_pairs, paper.temperature) == (64, 0.4)
    assert (paper.aggregation, paper.keys, paper.layer) == ("mean", "other_view", "geometric")
    look = paper.augmentation
    assert (look.jitter_probability, look.grayscale_probability, look.blur_probability) == (
        (0.8, 0.2, 0.5)
    )
    assert (look.brightness, look.contrast, look.saturation, look.hue) == (0.4, 0.4, 0.4, 0.1)
    assert look.blur_sigma == (0.1, 2.0)


def test_the_command_line_offers_every_recipe():
    assert set(get_args(cli.Recipe)) == set(RECIPES)


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (FusionSettings, {"voxel_size": 0.0}, "voxel_size is 0.0, expected above 0"),
        (FusionSettings, {"smoothing_steps": -1}, "smoothing_steps is -1, expected 0 or more"),
        (PrepareSettings, {"frame_step": 0}, "frame_step is 0, expected 1 or more"),
        (PrepareSettings, {"threshold": 0}, "threshold is 0, expected a number above 0"),
        (PrepareSettings, {"threshold": math.nan}, "threshold is nan, expected a number above 0"),
        (PrepareSettings, {"min_overlap": 1.5}, "min_overlap is 1.5, expected 0 to 1"),
        (PrepareSettings, {"image_size": (16, 320)}, "image_size is (16, 320), expected 32 or"),
        (PrepareSettings, {"max_pairs_per_scene": 0}, "max_pairs_per_scene is 0, expected 1 or"),
        (OptimizerSettings, {"kind": "adam"}, "kind is 'adam'; choose from sgd, adamw"),
        (
            OptimizerSettings,
            {"schedule": "step"},
            "schedule is 'step'; choose from poly, cosine, constant",
        ),
        (OptimizerSettings, {"lr": 0.0}, "lr is 0.0; expected a number above 0, such as 0.1"),
        (OptimizerSettings, {"lr": math.inf}, "lr is inf; expected a number above 0, such as 0.1"),
        (OptimizerSettings, {"momentum": 1.0}, "momentum is 1.0; expected 0 <= momentum < 1"),
        (OptimizerSettings, {"warmup": -1}, "warmup is -1; expected 0 or more"),
        (Photometric, {"hue": 0.6}, "hue is 0.6; expected a number in 0..0.5"),
        (Photometric, {"blur_sigma": (0.0, 2.0)}, "blur_sigma is 0.0, 2.0; expected 0 < lowest"),
        (Hardware, {"devices": 0}, "devices is 0, expected 1 or more"),
        (Hardware, {"workers": -1}, "workers is -1, expected 0 or more"),
        (Hardware, {"checkpoint_seconds": -1}, "checkpoint_seconds is -1, expected 0 or more"),
    ],
)
def test_values_out_of_range(settings, values, message):
    with pytest.raises(GeosetError) as error:
        settings(**values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": None}, "stage view: steps is None, epochs is None, expected one of them, above"),
        ({"steps": 0}, "stage view: steps is 0, epochs is None, expected one of them, above 0"),
        (
            {"steps": None, "epochs": -1.0},
            "stage view: steps is None, epochs is -1.0, expected one of them, above 0",
        ),
        ({"view": 0.0}, "stage view: the weights are view 0.0, sets 0.0, expected one of them"),
        ({"sets": -1.0}, "stage view: the weights are view 1.0, sets -1.0, expected 0 or more"),
    ],
)
def test_stages_that_train_nothing(values, message):
    with pytest.raises(GeosetError) as error:
        replace(STAGE, **values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": ()}, "the stages are called [], expected one or more, each by a name of its"),
        (
            {"stages": (STAGE, STAGE)},
            "the stages are called ['view', 'view'], expected one or more, each by a name of its "
            "own: their weights are files of that name",
        ),
        ({"batch_pairs": 0}, "batch_pairs is 0, expected 1 or more"),
        ({"pixel_samples": 0}, "pixel_samples is 0, expected 1 or more"),
        ({"min_pixels": 0}, "min_pixels is 0, expected 1 or more"),
        ({"temperature": 0.0}, "temperature is 0.0, expected a number above 0"),
    ],
)
def test_recipes_that_cannot_be_run(values, message):
    with pytest.raises(GeosetError) as error:
        replace(PretrainRecipe(stages=(STAGE,)), **values)
    assert str(error.value).startswith(message)
