"""Tables and methods: every one can be planned, at both scales."""

from dataclasses import replace
from pathlib import Path

import pytest

from geoset.recipes import RECIPES, ReproduceSettings
from geoset.recipes.methods import METHODS, recipe_of
from geoset.recipes.tables import TABLES
from geoset.tasks.reproduce.jobs import Encoder, Score, needs
from geoset.tasks.reproduce.table import plan
from geoset.tasks.reproduce.words import SMALL_NOTE

HERE = Path()


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_planned_in_an_order_that_works(name, scale):
    done = set()
    jobs = plan(TABLES[name], ReproduceSettings(scale=scale, seeds=2))
    for job in jobs:
        assert {need.folder(HERE) for need in needs(job)} <= done
        done.add(job.folder(HERE))
    assert {job.seed if isinstance(job, Encoder) else job.encoder.seed for job in jobs} == {0, 1}
    assert any(isinstance(job, Score) for job in jobs)


def test_methods_that_begin_alike_share_it():
    jobs = plan(TABLES["benchmark"], ReproduceSettings(seeds=1))
    trained = [job.trainings[-1].name for job in jobs if isinstance(job, Encoder)]
    assert trained == [
        "view", "more_view", "sets", "sets-shapes", "sets-shuffled", "sets-classes",
    ]  # fmt: skip


def test_published_figures_stand_in_their_columns():
    table = TABLES["1"]
    assert [column.title for column in table.columns] == ["ResNet-50", "ResNet-18"]
    assert table.published["sets"] == (63.1, 57.2)
    assert table.published["depth"] == (58.4, None)
    assert TABLES["5"].published["sets"] == (36.0, 19.3, 19.5)
    assert [column.metric for column in TABLES["5"].columns] == [
        "mask AP50",
        "mask AP75",
        "mask AP",
    ]
    assert TABLES["9"].published["sets_0.03"] == (None, 62.9)
    for table in TABLES.values():
        for figures in table.published.values():
            assert len(figures) == len(table.columns)


def test_the_paper_scale_is_the_papers():
    recipe = recipe_of(METHODS["sets"].trainings, "paper", "resnet50", "imagenet")
    first, second = recipe.stages
    assert first.weights == {"view": 1.0, "geo": 1.0, "depth": 1.0, "sets": 0.0}
    assert second.weights == {"view": 0.0, "geo": 0.0, "depth": 0.0, "sets": 1.0}
    assert (first.epochs, second.epochs, recipe.batch_pairs) == (5, 2, 64)
    assert (first.optimizer.kind, first.optimizer.lr) == ("sgd", 0.1)
    assert recipe.model.weights == "imagenet"


def test_the_small_scale_has_no_depth_proxy():
    """As its tables say."""
    (stage,) = recipe_of(METHODS["view_geo"].trainings, "small").stages
    assert stage.weights == {"view": 1.0, "geo": 1.0, "depth": 0.0, "sets": 0.0}
    assert "without its depth proxy" in SMALL_NOTE


def test_the_same_recipe_as_the_named_ones():
    ours, named = recipe_of(METHODS["sets"].trainings, "paper", start="imagenet"), RECIPES["paper"]
    assert [stage.weights for stage in ours.stages] == [stage.weights for stage in named.stages]
    assert [s.optimizer for s in ours.stages] == [s.optimizer for s in named.stages]
    assert (ours.model, ours.geo) == (named.model, named.geo)


def test_a_training_may_have_a_rate_of_its_own():
    """At the small scale; its runs lie apart from those of another rate."""
    encoder = Encoder("view_sets", 2, "small", 0, rates=(1e-3,))
    stages = recipe_of(encoder.trainings, "small").stages
    assert [stage.optimizer.lr for stage in stages] == [1e-3, 2e-3]
    assert encoder.folder(HERE) == Path("encoders/small/view@0.001+sets/seed-0")
    assert encoder.before.folder(HERE) == Path("encoders/small/view@0.001/seed-0")
    both = Encoder("view_sets", 2, "small", 0, rates=(1e-3, 4e-3))
    assert both.folder(HERE).parent.name == "view@0.001+sets@0.004"
    assert both.before.folder(HERE) == encoder.before.folder(HERE)
    paper = recipe_of(both.trainings, "paper")
    assert [stage.optimizer.lr for stage in paper.stages] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("tuned", "usual"),
    [
        ("tuned_view", "view"),
        ("tuned_more_view", "view_more_view"),
        ("tuned_sets", "view_sets"),
    ],
)
def test_tuned_methods_differ_from_the_others_in_their_rates_alone(tuned, usual):
    trainings = METHODS[tuned].trainings
    assert tuple(replace(training, lr=None) for training in trainings) == METHODS[usual].trainings
    assert all(training.lr for training in trainings)
    assert METHODS["tuned_view"].trainings == trainings[:1]
