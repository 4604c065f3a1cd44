"""How encoders come about: the paper's method, its baselines, its ablations, and what goes past it.

A method is a chain of trainings, each a stage; methods that begin alike share how they begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from geoset.recipes.layers import GroupSettings, LayerSettings
from geoset.recipes.named import RECIPES
from geoset.recipes.optimizer import OptimizerSettings
from geoset.recipes.pretrain import GeoSettings, ModelSettings, PretrainRecipe, StageSettings
from geoset.recipes.reproduce import Scale


@dataclass(frozen=True)
class Training:
    """One stage of pre-training.

    name: of the stage and of folders
    terms: weight of each loss; none: MoCoV2, which has a trainer of its own
    options: fields of PretrainRecipe that it needs to differ
    layers, groups: what prepared scenes must have for it
    lr: its learning rate at the small scale; None = that of the scale
    """

    name: str
    terms: Mapping[str, float]
    options: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[LayerSettings, ...] = ()
    groups: GroupSettings | None = None
    lr: float | None = None


@dataclass(frozen=True)
class Method:
    """A way to an encoder.

    title: in tables
    trainings: one after the other; none: nothing but the weights it starts from
    start: what the first begins with, where the scale has ImageNet weights at all
    """

    title: str
    trainings: tuple[Training, ...] = ()
    start: Literal["scratch", "imagenet"] = "imagenet"


def _sets(name: str, **options: Any) -> Training:
    layers, groups = options.pop("make_layers", ()), options.pop("make_groups", None)
    if groups:
        options["groups"] = groups.name
    return Training(name, {"sets": 1.0}, options, layers=layers, groups=groups)


def _threshold(value: float, min_vertices: int = 20) -> LayerSettings:
    return LayerSettings(threshold=(value,), min_vertices=min_vertices)


_SEMANTIC, _INSTANCE = LayerSettings(images="semantic"), LayerSettings(images="instance")
_VIEW = Training("view", {"view": 1.0})
_MORE_VIEW = Training("more_view", {"view": 1.0})
_TUNED_VIEW = replace(_VIEW, lr=1e-3)
_GEO = Training("geo", {"geo": 1.0})
_VIEW_GEO = Training("view_geo", {"view": 1.0, "geo": 1.0})
_SETS = _sets("sets")
_BY_CLASS = _sets("sets-semantic", layers=("semantic",), make_layers=(_SEMANTIC,))
_BY_INSTANCE = _sets("sets-instance", layers=("instance",), make_layers=(_INSTANCE,))


def _ours(title: str, training: Training) -> Method:
    return Method(title, (_VIEW_GEO, training))


def _after_view(title: str, training: Training) -> Method:
    return Method(title, (_VIEW, training))


METHODS: dict[str, Method] = {
    "scratch": Method("from scratch", start="scratch"),
    "imagenet": Method("supervised ImageNet"),
    "moco": Method("MoCoV2", (Training("moco", {}),)),
    "depth": Method("depth prediction", (Training("depth", {"depth": 1.0}),)),
    "view": Method("Pri3D (View)", (_VIEW,)),
    "geo": Method("Pri3D (Geo)", (_GEO,)),
    "view_geo": Method("Pri3D (View + Geo)", (_VIEW_GEO,)),
    "sets": _ours("geometric sets (ours)", _SETS),
    "continue_view": _ours("Pri3D, more View", _MORE_VIEW),
    "continue_geo": _ours("Pri3D, more Geo", Training("more_geo", {"geo": 1.0})),
    "continue_view_geo": _ours(
        "Pri3D, more View + Geo", Training("more_view_geo", {"view": 1.0, "geo": 1.0})
    ),
    "random_pixel": _ours(
        "sets, random-pixel aggregation", _sets("sets-random_pixel", aggregation="random_pixel")
    ),
    "truth_semantic": _ours("ground-truth classes as sets", _BY_CLASS),
    "truth_instance": _ours("ground-truth instances as sets", _BY_INSTANCE),
    **{
        f"sets_{k}": _ours(
            f"sets at k = {k}",
            _sets(f"sets-{k}", layers=(f"geometric-{k}",), make_layers=(_threshold(k),)),
        )
        for k in (0.02, 0.03, 0.04, 0.05)
    },
    # The same question with View alone before it: what two cores can answer with five seeds.
    "view_more_view": _after_view("View, then more View", _MORE_VIEW),
    "view_sets": _after_view("View, then sets", _SETS),
    "view_groups_geometry": _after_view(
        "View, then sets grouped by geometry",
        _sets("sets-shapes", make_groups=GroupSettings(by="geometry", name="shapes")),
    ),
    "view_groups_random": _after_view(
        "View, then sets grouped at random",
        _sets("sets-shuffled", make_groups=GroupSettings(by="random", name="shuffled")),
    ),
    "view_groups_truth": _after_view(
        "View, then sets grouped by class",
        _sets(
            "sets-classes",
            make_layers=(_SEMANTIC,),
            make_groups=GroupSettings(by="layer:semantic", name="classes"),
        ),
    ),
    "view_truth_semantic": _after_view("View, then classes as sets", _BY_CLASS),
    "view_truth_instance": _after_view("View, then instances as sets", _BY_INSTANCE),
    "view_two_scales": _after_view(
        "View, then sets at two scales",
        _sets(
            "sets-two_scales",
            layers=("geometric", "geometric-0.2-150"),
            make_layers=(_threshold(0.2, 150),),
        ),
    ),
    # The best rates at the small scale that benchmarks/rates.py has found.
    "tuned_view": Method("View at its rate", (_TUNED_VIEW,)),
    "tuned_more_view": Method(
        "View, then more View, at their rates", (_TUNED_VIEW, replace(_MORE_VIEW, lr=5e-4))
    ),
    "tuned_sets": Method("View, then sets, at their rates", (_TUNED_VIEW, replace(_SETS, lr=4e-3))),
}

_EPOCHS = (5.0, 2.0)  # of the paper's stages
_STEPS = (800, 800)  # of the small scale's
_SGD = OptimizerSettings(batchnorm_decay=True)
_ADAMW = OptimizerSettings(kind="adamw", lr=2e-3, weight_decay=1e-4, warmup=20)


def recipe_of(
    trainings: Sequence[Training],
    scale: Scale,
    backbone: str = "resnet50",
    start: str = "scratch",
    steps: int | None = None,
) -> PretrainRecipe:
    """Return the recipe that takes one training after the other.

    backbone: resnet18 or resnet50, of the paper's scale; the small scale has one network of its own
    start: scratch, or what the paper's scale starts from: imagenet, or a file of its weights
    steps: of each stage, instead of the scale's
    """
    options = {key: value for training in trainings for key, value in training.options.items()}
    if scale == "paper":
        recipe = PretrainRecipe(
            tuple(_paper_stage(k, training, steps) for k, training in enumerate(trainings)),
            ModelSettings(backbone, weights=start),
            geo=GeoSettings(matches="projection"),
        )
    else:
        stages = [
            _small_stage(training, steps or count)
            for training, count in zip(trainings, _STEPS, strict=False)
        ]
        geo = GeoSettings(samples=512, voxel_size=0.1, width=0.125)
        recipe = replace(RECIPES["demo"], stages=tuple(stages), geo=geo)
    return replace(recipe, **options)


def _small_stage(training: Training, steps: int) -> StageSettings:
    optimizer = replace(_ADAMW, lr=training.lr or _ADAMW.lr)
    return StageSettings(training.name, steps=steps, optimizer=optimizer, **training.terms)


def _paper_stage(k: int, training: Training, steps: int | None) -> StageSettings:
    """Pri3D's depth proxy is on in the first stage, and never later."""
    terms = dict(training.terms) | ({} if k else {"depth": 1.0})
    return StageSettings(training.name, _EPOCHS[k], steps, optimizer=_SGD, **terms)
