"""`geoset pretrain`: the recipe decides what is trained, and on which settings."""

import sys

import geoset.cli
import geoset.tasks.moco
from geoset.recipes import Hardware
from geoset.recipes.moco import MocoSettings, moco_at_small_scale


def settings_of(monkeypatch, *options):
    """Return what reaches the trainer of MoCo from the command line."""
    asked = []
    monkeypatch.setattr(
        geoset.tasks.moco, "pretrain_moco", lambda *given, **options: asked.append((given, options))
    )
    line = ["geoset", "pretrain", "prepared", "--recipe", "moco", "--out", "run", *options]
    monkeypatch.setattr(sys, "argv", line)
    geoset.cli.main()
    [((prepared, out, settings), rest)] = asked
    assert (prepared, str(out)) == (["prepared"], "run")
    return settings, rest


def test_moco_has_settings_of_its_own(monkeypatch):
    settings, rest = settings_of(monkeypatch, "--queue", "4096", "--optimizer.lr", "0.06")
    assert (settings.queue, settings.optimizer.lr) == (4096, 0.06)
    assert (settings.epochs, settings.batch, settings.model.encoder) == (100, 256, "resnet50")
    assert rest == {"seed": 0, "resume": False, "hardware": Hardware()}


def test_moco_at_small_scale(monkeypatch):
    options = ["--scale", "small", "--seed", "3", "--resume", "--accelerator", "cpu"]
    settings, rest = settings_of(monkeypatch, *options)
    assert settings == moco_at_small_scale() != MocoSettings()
    assert rest == {"seed": 3, "resume": True, "hardware": Hardware("cpu")}
