"""The demonstration: what it trains, and that its command asks for just that."""

import sys
from dataclasses import replace
from pathlib import Path

from geoset.cli import main
from geoset.recipes import DEMO, RECIPES
from geoset.recipes.methods import METHODS, recipe_of


def test_it_trains_the_recipe_of_its_name():
    found = recipe_of(METHODS["view_sets"].trainings, DEMO.scale, steps=DEMO.pretrain_steps)
    assert replace(found, geo=RECIPES["demo"].geo) == RECIPES["demo"]  # no stage has the Geo loss


def test_the_command(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "geoset.tasks.reproduce.table.reproduce",
        lambda *words, **named: asked.append((words, named)),
    )
    for options in ([], ["--out", "here", "--pretrain-steps", "9", "--rooms.labelled", "3"]):
        monkeypatch.setattr(sys, "argv", ["geoset", "demo", *options])
        main()
    changed = replace(DEMO, pretrain_steps=9, rooms=replace(DEMO.rooms, labelled=3))
    assert asked == [
        (("demo", Path("geoset-demo")), {"settings": DEMO}),
        (("demo", Path("here")), {"settings": changed}),
    ]
