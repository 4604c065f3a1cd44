"""benchmarks/rates.py: what is searched for, in which order, and what its table says."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RATES = [1e-3, 2e-3, 4e-3]
BEST = {"view": 1e-3, "depth": 4e-3, "view_more_view": 2e-3, "view_sets": 2e-3}


class Search:
    """Scores without training: 9 at the best rate of a method, 5 at others."""

    out = Path("rates")

    def __init__(self):
        self.asked = []

    def scores(self, after):
        self.asked.append(dict(after))
        return {
            method: {rate: {100: 9.0 if rate == BEST[method] else 5.0} for rate in RATES}
            for method in after
        }


@pytest.fixture
def rates(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "rates.py"))


def test_second_trainings_follow_the_best_of_the_first(rates):
    search = Search()
    found = rates["search_rates"](search, ["view", "view_more_view", "view_sets", "depth"])
    first, second = search.asked
    assert first == {"view": (), "depth": ()}
    assert second == {"view_more_view": (1e-3,), "view_sets": (1e-3,)}
    assert list(found) == [
        "view",
        "depth",
        "view at 0.001, then more_view",
        "view at 0.001, then sets",
    ]
    table = rates["markdown"](found, RATES, [100]).splitlines()[2:]
    assert table == [
        "| training | 0.001 | 0.002 | 0.004 | |",
        "|---|---:|---:|---:|---|",
        "| view | **9.0** | 5.0 | 5.0 | best at the end of the grid |",
        "| depth | 5.0 | 5.0 | **9.0** | best at the end of the grid |",
        "| view at 0.001, then more_view | 5.0 | **9.0** | 5.0 |  |",
        "| view at 0.001, then sets | 5.0 | **9.0** | 5.0 |  |",
    ]


def test_without_a_run_of_the_first_nothing_follows(rates, monkeypatch):
    search = Search()
    monkeypatch.setattr(
        search, "scores", lambda after: {name: {rate: {} for rate in RATES} for name in after}
    )
    with pytest.raises(rates["GeosetError"], match=r"^rates: no view ended"):
        rates["search_rates"](search, ["view_sets"])


def test_the_best_is_that_of_the_mean_over_seeds_and_never_one_that_failed(rates):
    found = {1e-3: {100: 9.0, 101: 1.0}, 2e-3: {100: 6.0, 101: 6.0}, 4e-3: {}}
    assert rates["best_of"](found) == 2e-3
