import math
from dataclasses import replace
from typing import get_args

import pytest

from geoset import GeosetError
from geoset.cli import train
from geoset.recipes import (
    RECIPES,
    BenchmarkRooms,
    FusionSettings,
    GeoSettings,
    Hardware,
    ModelSettings,
    OptimizerSettings,
    Photometric,
    PrepareSettings,
    PretrainRecipe,
    StageSettings,
    at_small_scale,
)

STAGE = StageSettings("view", steps=1, view=1.0)


def test_the_paper_recipe():
    """Sec. 4.1, and Pri3D where the paper says nothing."""
    paper = RECIPES["paper"]
    pri3d, sets = paper.stages
    assert (pri3d.epochs, pri3d.weights) == (5, {"view": 1, "geo": 1, "depth": 1, "sets": 0})
    assert (sets.epochs, sets.weights) == (2, {"view": 0, "geo": 0, "depth": 0, "sets": 1})
    for stage in paper.stages:
        optimizer = stage.optimizer
        assert (optimizer.kind, optimizer.lr, optimizer.momentum) == ("sgd", 0.1, 0.9)
        assert (optimizer.dampening, optimizer.weight_decay) == (0.1, 0)
        assert (optimizer.schedule, optimizer.power) == ("poly", 0.9)
        assert optimizer.batchnorm_decay
    assert paper.model == ModelSettings("resnet50", None, width=1.0, weights="imagenet")
    assert paper.geo == GeoSettings(
        "projection", samples=1024, voxel_size=0.02, channels=64, width=1.0
    )
    assert (paper.batch_pairs, paper.accumulate, paper.temperature) == (64, 1, 0.4)
    assert (paper.aggregation, paper.keys, paper.negatives) == ("mean", "other_view", "batch")
    assert (paper.layers, paper.layer_weights, paper.groups) == (("geometric",), (), None)
    look = paper.augmentation
    assert (look.jitter_probability, look.grayscale_probability, look.blur_probability) == (
        (0.8, 0.2, 0.5)
    )
    assert (look.brightness, look.contrast, look.saturation, look.hue) == (0.4, 0.4, 0.4, 0.1)
    assert look.blur_sigma == (0.1, 2.0)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("pri3d_view", [(5, "view depth")]),
        ("pri3d_geo", [(5, "geo depth")]),
        ("pri3d_view_geo", [(5, "view geo depth")]),
        ("continue_view", [(5, "view geo depth"), (2, "view")]),
        ("continue_geo", [(5, "view geo depth"), (2, "geo")]),
        ("continue_view_geo", [(5, "view geo depth"), (2, "view geo")]),
        ("sets_only", [(7, "sets")]),
    ],
)
def test_the_recipes_of_the_baselines(name, stages):
    """They differ from the paper's in their stages alone; the depth proxy is on in stage 1."""
    recipe = RECIPES[name]
    found = [
        (stage.epochs, " ".join(term for term, weight in stage.weights.items() if weight == 1))
        for stage in recipe.stages
    ]
    assert found == stages
    assert replace(recipe, stages=RECIPES["paper"].stages) == RECIPES["paper"]


def test_small_scale_keeps_the_losses():
    small = at_small_scale(RECIPES["paper"], steps=7)
    assert [stage.weights for stage in small.stages] == [
        stage.weights for stage in RECIPES["paper"].stages
    ]
    assert [(stage.steps, stage.epochs) for stage in small.stages] == [(7, None)] * 2
    assert small.geo == GeoSettings("projection", 512, voxel_size=0.05, channels=64, width=0.125)
    assert (small.model.weights, small.batch_pairs) == ("scratch", 4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], RECIPES["small"]),
        (["--recipe", "paper"], RECIPES["paper"]),
        (["--recipe=pri3d_geo", "--scale", "full"], RECIPES["pri3d_geo"]),
        (["--scale=small", "--recipe", "paper"], at_small_scale(RECIPES["paper"])),
        (["--recipe"], RECIPES["small"]),
        (["--recipe", "none"], RECIPES["small"]),
    ],
)
def test_the_recipe_is_known_before_parsing(words, expected):
    assert train.chosen_pretraining(["prepared", *words]).keywords == {"settings": expected}


def test_the_command_line_offers_every_recipe():
    assert set(get_args(train.Recipe)) == {*RECIPES, "moco"}


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
        (PrepareSettings, {"max_pair_residual": 0}, "max_pair_residual is 0, expected metres"),
        (PrepareSettings, {"max_pairs_per_scene": 0}, "max_pairs_per_scene is 0, expected 1 or"),
        (OptimizerSettings, {"kind": "adam"}, "kind is 'adam'; choose from sgd, adamw"),
        (
            OptimizerSettings,
            {"schedule": "step"},
            "schedule is 'step'; choose from poly, cosine, steps, constant",
        ),
        (OptimizerSettings, {"lr": 0.0}, "lr is 0.0; expected a number above 0, such as 0.1"),
        (OptimizerSettings, {"lr": math.inf}, "lr is inf; expected a number above 0, such as 0.1"),
        (OptimizerSettings, {"momentum": 1.0}, "momentum is 1.0; expected 0 <= momentum < 1"),
        (OptimizerSettings, {"warmup": -1}, "warmup is -1; expected 0 or more"),
        (Photometric, {"hue": 0.6}, "hue is 0.6; expected a number in 0..0.5"),
        (Photometric, {"blur_sigma": (0.0, 2.0)}, "blur_sigma is 0.0, 2.0; expected 0 < lowest"),
        (GeoSettings, {"samples": 0}, "geo.samples is 0, expected 1 or more"),
        (GeoSettings, {"width": 0.0}, "geo.width is 0.0, expected above 0"),
        (BenchmarkRooms, {"labelled": 0}, "labelled is 0, expected 1 or more"),
        (BenchmarkRooms, {"tuning": -1}, "tuning is -1, expected 0 or more"),
        (Hardware, {"nodes": 0}, "nodes is 0, expected 1 or more"),
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
        ({"view": 0.0}, "the weights are view 0.0, geo 0.0, depth 0.0, sets 0.0, expected one"),
        ({"sets": -1.0}, "the weights are view 1.0, geo 0.0, depth 0.0, sets -1.0, expected 0"),
    ],
)
def test_stages_that_train_nothing(values, message):
    with pytest.raises(GeosetError) as error:
        replace(STAGE, **values)
    assert message in str(error.value)
    assert str(error.value).startswith("stage view: ")


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
        ({"accumulate": 0}, "accumulate is 0, expected 1 or more"),
        ({"temperature": 0.0}, "temperature is 0.0, expected a number above 0"),
        ({"heldout_every": 1}, "heldout_every is 1, expected 2 or more, or none"),
        ({"layers": ()}, "layers are [], expected one or more, each once"),
        ({"layers": ("a", "a")}, "layers are ['a', 'a'], expected one or more, each once"),
        (
            {"layers": ("a", "b"), "layer_weights": (1.0,)},
            "layer_weights are [1.0], expected none, or one above 0 for each of the 2 layers",
        ),
        ({"layer_weights": (0.0,)}, "layer_weights are [0.0], expected none, or one above 0"),
    ],
)
def test_recipes_that_cannot_be_run(values, message):
    with pytest.raises(GeosetError) as error:
        replace(PretrainRecipe(stages=(STAGE,)), **values)
    assert str(error.value).startswith(message)
