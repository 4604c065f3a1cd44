"""Engines: all work is done, and a worker that dies costs its own work alone."""

import sys
from pathlib import Path

import dangerous_work
import pytest

from geoset.errors import GeosetError
from geoset.tasks import engines
from geoset.tasks.engines import Engine, do_each
from geoset.tasks.isolated import ProcessDiedError

ray = pytest.param("ray", marks=pytest.mark.slow)  # takes half a minute to start


@pytest.mark.parametrize("name", ["local", "dask", ray])
def test_a_death_is_its_own_items(name, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for Ray's processes
    with Engine(name, workers=2).open() as slots:
        results = dict(do_each(dangerous_work.double_or_die, range(8), slots, lambda *_: None))
        died = results.pop(3)
        again = dict(do_each(dangerous_work.double_or_die, [3], slots._replace(count=1), print))
    assert isinstance(died, ProcessDiedError) and isinstance(again[3], ProcessDiedError)
    assert results == {item: 2 * item for item in (0, 1, 2, 4, 5, 6, 7)}


def test_steps_are_shown_with_their_item():
    seen = []
    with Engine().open() as slots:
        work = dangerous_work.count_aloud
        assert list(do_each(work, [2], slots, lambda *step: seen.append(step))) == [(2, "counted")]
    assert seen == [(2, "steps", 0, 2), (2, "steps", 1, 2)]


def test_a_worker_is_used_again():
    with Engine().open() as slots:
        done = list(do_each(dangerous_work.who, range(3), slots, lambda *_: None))
    assert len({process for _, (_, process, _) in done}) == 1


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"name": "spark"}, "engine is 'spark', expected one of local, dask, ray"),
        ({"workers": 0}, "workers is 0, expected 1 or more; 1 works on one after the other"),
        (
            {"address": "tcp://a:1"},
            "address is tcp://a:1, but the engine is local; add --engine dask or --engine ray",
        ),
    ],
)
def test_what_cannot_be(choice, text):
    with pytest.raises(GeosetError) as error:
        Engine(**choice)
    assert str(error.value) == text


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_package_that_is_missing(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(GeosetError) as error, Engine(name).open():
        pass
    assert str(error.value) == (
        f"the package {package} is not installed; get it with: pip install {package}"
    )


@pytest.mark.parametrize(
    ("name", "address", "cure"),
    [
        ("dask", "tcp://127.0.0.1:9", "start it with: dask scheduler, and dask worker ADDRESS"),
        ("ray", "127.0.0.1:9", "start it with: ray start --head"),
        ("ray", "ray://127.0.0.1:9", "start it with: ray start --head"),
        ("ray", "nonsense", "start it with: ray start --head"),
    ],
)
def test_nobody_answers(monkeypatch, name, address, cure):
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    with pytest.raises(GeosetError) as error, Engine(name, address=address).open():
        pass
    assert str(error.value).startswith(f"{name.capitalize()} at {address}: ")
    assert cure in str(error.value)
