"""A pre-training of seconds, in Python and on the command line."""

from dataclasses import replace
from pathlib import Path

from geoset.recipes import Hardware, ModelSettings, OptimizerSettings, PretrainRecipe, StageSettings
from geoset.tasks.pretrain import pretrain
from geoset.training.log import read_log

ADAMW = OptimizerSettings(kind="adamw", lr=3e-3, warmup=3)
RECIPE = PretrainRecipe(
    stages=(
        StageSettings("view", steps=3, view=1.0, optimizer=ADAMW),
        StageSettings("sets", steps=3, sets=1.0, optimizer=ADAMW),
    ),
    model=ModelSettings("resnet18", out_channels=16, width=0.125),
    batch_pairs=4,
    pixel_samples=128,
    min_pixels=4,
)
TIMES = ("wait_s", "step_s")


def with_steps(*steps):
    """RECIPE with other lengths of its stages."""
    stages = zip(RECIPE.stages, steps, strict=True)
    return replace(RECIPE, stages=tuple(replace(stage, steps=count) for stage, count in stages))


def tiny_pretrain(prepared, out, recipe=RECIPE, **options):
    """Pre-train on the CPU, loading in this process, with a checkpoint after every step."""
    hardware = Hardware("cpu", workers=0, checkpoint_seconds=0)
    return pretrain([prepared], out, recipe, **({"hardware": hardware} | options))


def weights(run):
    """The bytes of the weights after each stage and at the end."""
    return {path.name: path.read_bytes() for path in Path(run).glob("*.safetensors")}


def untimed_log(run):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_log(run)]
