"""Seeds that were run in two places make the table that they would have made in one."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from geoset import GeosetError
from geoset.recipes import ReproduceSettings
from geoset.recipes.tables import TABLES, Column, Table, Task
from geoset.tasks.reproduce.join import join, seeds_of
from geoset.tasks.reproduce.results import collect
from geoset.tasks.reproduce.sections import as_markdown, sections

SCORES = {"scratch": [5.0, 6.0, 9.0], "view": [7.0, 8.5, 10.0], "geo": [7.5, 8.0]}
THREE, FIRST_TWO = ReproduceSettings(seeds=3), ReproduceSettings(seeds=2)
LAST = ReproduceSettings(seeds=1, first_seed=2)


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Three methods that were probed; one of them lacks the last seed."""
    table = Table(
        "Three methods",
        tuple(SCORES),
        (Column("probe", Task("probe")),),
        second_baseline="view",
        second_rows=("geo",),
    )
    monkeypatch.setitem(TABLES, "made", table)
    rng = np.random.default_rng(0)
    for method, scores in SCORES.items():
        for seed, miou in enumerate(scores):
            folder = tmp_path / f"scores/scannet-probe-1/small/{method}/seed-{seed}"
            folder.mkdir(parents=True)
            (folder / "score.json").write_text(json.dumps({"scores": {"miou": miou}}))
            counts = rng.integers(1, 9, (4, 2, 2))
            np.savez(
                folder / "confusions.npz",
                confusions=counts,
                scenes=list("abcd"),
                classes=["wall", "door"],
            )
    return tmp_path


def test_apart_as_in_one_place(out):
    whole = collect("made", out, THREE)
    parts = [collect("made", out, settings) for settings in (FIRST_TWO, LAST)]
    assert [seeds_of(part) for part in parts] == [{0, 1}, {2}]
    for joined in (join(*parts), join(*parts[::-1])):
        for key in whole.keys() - {"classes", "cost", "made"}:
            assert joined[key] == whole[key], key
        # (7 - 5 + 8.5 - 6 + 10 - 9) / 3, by hand
        assert joined["rows"]["view"][0]["better"]["mean"] == pytest.approx(5.5 / 3, abs=1e-3)
        for method, found in whole["classes"][0].items():
            of_method = joined["classes"][0][method]
            for key in ("classes", "shown", "flush"):
                assert of_method[key] == found[key], key
            assert of_method["scenes"] == parts[0]["classes"][0][method]["scenes"]


def test_the_page_says_what_is_of_some_seeds_alone(out):
    whole = collect("made", out, THREE)
    joined = join(*(collect("made", out, settings) for settings in (FIRST_TWO, LAST)))
    text = as_markdown(joined, sections(joined))
    assert "Intervals over other scenes are of the seeds 0, 1, which were run together." in text
    assert "Times and memory are of the seeds 0, 1, which were run together." in text
    assert "run together" not in as_markdown(whole, sections(whole))


def test_a_third_part_keeps_what_the_first_two_had(out):
    one, two = (collect("made", out, replace(LAST, first_seed=k)) for k in range(2))
    joined = join(join(collect("made", out, LAST), one), two)
    assert joined["rows"] == collect("made", out, THREE)["rows"]
    assert joined["together"] == [2]
    assert joined["settings"]["seeds"] == 3
    assert joined["settings"]["first_seed"] == 0


def test_what_does_not_belong_together_is_refused(out):
    ours, theirs = (collect("made", out, settings) for settings in (FIRST_TWO, LAST))
    with pytest.raises(GeosetError, match="seed 0 is in both results; a seed counts once"):
        join(ours, ours)
    other = deepcopy(theirs)
    other["settings"]["pretrain_steps"] = 40
    with pytest.raises(GeosetError, match="pretrain_steps is None for some seeds and 40 for oth"):
        join(ours, other)
    with pytest.raises(GeosetError, match="differ in table: made and another"):
        join(ours, theirs | {"table": "another"})
    with pytest.raises(GeosetError, match="differ in their rows"):
        join(ours, theirs | {"rows": {}})


def test_the_first_seed_is_none_below_0():
    with pytest.raises(GeosetError, match="first_seed is -1, expected 0 or more"):
        ReproduceSettings(first_seed=-1)
