"""MoCo in seconds; as a program, what one of two processes runs."""

import sys
from dataclasses import replace
from pathlib import Path

from geoset.recipes import Hardware, ModelSettings, OptimizerSettings, Photometric
from geoset.recipes.moco import MocoSettings
from geoset.tasks.moco import pretrain_moco

SETTINGS = MocoSettings(
    model=ModelSettings("resnet18", out_channels=8, width=1 / 16),
    steps=4,
    batch=4,
    crop=(64, 64),
    feature_dim=16,
    queue=6,
    momentum=0.9,
    batchnorm_images=2,
    optimizer=OptimizerSettings(kind="adamw", lr=2e-3, schedule="cosine"),
)
AS_THEY_ARE = Photometric(jitter_probability=0, grayscale_probability=0, blur_probability=0)


def tiny_moco(prepared, out, settings=SETTINGS, devices=1, **options):
    """Train on the CPU, loading in this process, with a checkpoint after every step."""
    hardware = Hardware("cpu", devices=devices, workers=0, checkpoint_seconds=0)
    return pretrain_moco([prepared], out, settings, **({"hardware": hardware} | options))


if __name__ == "__main__":
    prepared, out = map(Path, sys.argv[1:])
    tiny_moco(prepared, out, replace(SETTINGS, augmentation=AS_THEY_ARE), devices=2)
