"""Recipes: named, typed settings. Every option has its one home and its help here."""

from geoset.recipes.layers import GroupSettings, LayerSettings
from geoset.recipes.named import RECIPES, DemoSettings, at_small_scale
from geoset.recipes.optimizer import OptimizerSettings, Photometric
from geoset.recipes.prepare import FusionSettings, PrepareSettings
from geoset.recipes.pretrain import (
    TERMS,
    GeoSettings,
    Hardware,
    ModelSettings,
    PretrainRecipe,
    StageSettings,
)

__all__ = [
    "RECIPES",
    "TERMS",
    "DemoSettings",
    "FusionSettings",
    "GeoSettings",
    "GroupSettings",
    "Hardware",
    "LayerSettings",
    "ModelSettings",
    "OptimizerSettings",
    "Photometric",
    "PrepareSettings",
    "PretrainRecipe",
    "StageSettings",
    "at_small_scale",
]
