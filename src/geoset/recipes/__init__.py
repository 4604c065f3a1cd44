"""Recipes: named, typed settings. Every option has its one home and its help here."""

from geoset.recipes.instances import (
    INSTANCE_RECIPES,
    InstanceSettings,
    instances_at_small_scale,
)
from geoset.recipes.labelled import DataSettings
from geoset.recipes.layers import GroupSettings, LayerSettings
from geoset.recipes.named import RECIPES, at_small_scale
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
from geoset.recipes.reproduce import DEMO, BenchmarkRooms, ReproduceSettings
from geoset.recipes.segmentation import (
    SEGMENTATION_RECIPES,
    SegmentationSettings,
    segmentation_at_small_scale,
)

__all__ = [
    "DEMO",
    "INSTANCE_RECIPES",
    "RECIPES",
    "SEGMENTATION_RECIPES",
    "TERMS",
    "BenchmarkRooms",
    "DataSettings",
    "FusionSettings",
    "GeoSettings",
    "GroupSettings",
    "Hardware",
    "InstanceSettings",
    "LayerSettings",
    "ModelSettings",
    "OptimizerSettings",
    "Photometric",
    "PrepareSettings",
    "PretrainRecipe",
    "ReproduceSettings",
    "SegmentationSettings",
    "StageSettings",
    "at_small_scale",
    "instances_at_small_scale",
    "segmentation_at_small_scale",
]
