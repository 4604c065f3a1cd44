"""docs/results.md says what docs/results/ holds, and tables can be taken over into it."""

import json
import re
import runpy
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from geoset.recipes import ReproduceSettings
from geoset.tasks.reproduce.results import collect, write_results

DOCS = Path(__file__).parents[1] / "docs"
MAKE = runpy.run_path(str(DOCS / "make_results.py"))
README = (DOCS.parent / "README.md").read_text()
LARGEST = 400_000  # bytes of a file


def results_of(table):
    return json.loads((DOCS / "results" / f"table-{table}.json").read_text())


def test_the_page_is_what_the_figures_make():
    made = MAKE["page"](DOCS / "results")
    assert (DOCS / "results.md").read_text() == made, "run python docs/make_results.py"


@pytest.mark.parametrize(
    ("table", "shown", "row"),
    [
        ("benchmark", "sets", "view_sets"),
        ("benchmark", "sets grouped by geometry, without labels", "view_groups_geometry"),
        ("benchmark", "sets grouped at random, a control", "view_groups_random"),
        ("benchmark", "sets grouped by ground truth, an upper bound", "view_groups_truth"),
        ("benchmark", "no pre-training", "scratch"),
        ("10", "sets", "sets"),
        ("10", "more View", "continue_view"),
        ("10", "more Geo", "continue_geo"),
        ("10", "more View and Geo", "continue_view_geo"),
    ],
)
def test_readme_has_the_figures_of_its_tables(table, shown, row):
    found = results_of(table)
    cells = []
    for cell in found["rows"][row]:
        better = cell["better"]
        text = f"{better['mean']:+.1f} ± {better['margin']:.1f}"
        if not better["significant"]:
            text += ", open"
        cells.append(f"**{text}**" if better["significant"] and better["mean"] > 0 else text)
    assert f"| {shown} | {' | '.join(cells)} |" in README


@pytest.mark.parametrize(
    ("table", "row", "text"),
    [
        ("tuned", "tuned_sets", "sets add {} frozen, over three"),
        ("ablations", "view_sets", "over three seeds, sets add {} frozen"),
        ("ablations", "view_two_scales", "frozen, at two scales {},"),
        ("ablations", "view_truth_semantic", "place {}; View and Geo"),
        ("ablations", "view_geo", "in half the steps, {}."),
    ],
)
def test_readme_has_the_figures_of_other_tables(table, row, text):
    found = results_of(table)
    frozen = found["rows"][row][0]
    better = frozen["better"]
    assert (len(frozen["seeds"]), better["significant"]) == (3, True)
    assert text.format(f"{better['mean']:.1f} ± {better['margin']:.1f}") in README


def test_readme_has_what_sets_are_ahead_of_more_pri3d():
    found = results_of("10")
    frozen = [cells[0] for cells in found["also"]["rows"].values()]
    assert all(each["significant"] and each["n"] == 3 for each in frozen)
    ahead = sorted(-each["mean"] for each in frozen)
    assert f"the other three by {ahead[0]:.1f} to {ahead[-1]:.1f} points, all significant" in README
    fine_tuned = [cells[1] for cells in found["also"]["rows"].values()]
    assert not any(each["significant"] for each in fine_tuned)


@pytest.mark.parametrize(
    ("row", "text", "significant"),
    [
        ("sets", "alone by {}, {}, {} and {}, all open", [False] * 4),
        ("scratch", "by {}, {}, {} and {}, of which the second is", [False, True, False, False]),
    ],
)
def test_readme_has_what_fewer_labels_change(row, text, significant):
    better = [cell["better"] for cell in results_of("2")["rows"][row][:4]]
    assert [each["significant"] for each in better] == significant
    assert text.format(*(f"{each['mean']:+.1f}" for each in better)) in " ".join(README.split())


def test_files_are_small_and_all_shown():
    text = (DOCS / "results.md").read_text()
    for path in (DOCS / "results").glob("*"):
        assert path.stat().st_size < LARGEST, path
        assert f"(results/{path.name})" in text


@pytest.fixture
def taken(tmp_path):
    """A table of which nothing was run, and a picture, as they are taken over."""
    source, results = tmp_path / "out", tmp_path / "results"
    (source / "rooms").mkdir(parents=True)
    for name in ("2", "benchmark"):
        found = collect(name, source, ReproduceSettings(seeds=5))
        write_results(name, found, source, Console(quiet=True))
    Image.new("RGB", (2000, 1000)).save(source / "table-2-features.png")
    (source / "table-2-labels.svg").write_text("<svg/>")
    MAKE["take"](source, results, ["2"], 2.5)
    return results


def test_tables_are_taken_over_with_their_drawings(taken):
    assert json.loads((taken / "table-2.json").read_text())["made"]["hours"] == 2.5
    assert Image.open(taken / "table-2-features.jpg").size == (1600, 800)
    text = MAKE["page"](taken)
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == [
        "Sets against more View, and sets that attract each other",
        "Table 2 and Figure 3: with fewer labels, mIoU",
    ]
    files = {path.name for path in taken.iterdir()}
    assert set(re.findall(r"\(results/(.*?)\)", text)) == files
    assert "by the clock: 2.5 hours" in text
    assert "Not run: from scratch; Pri3D (View); View, then more View;" in text
    assert "geoset reproduce 2 --seeds 5 --workers 1" in text


def test_a_table_that_is_there_gains_other_seeds_and_keeps_its_pictures(tmp_path):
    source, results = tmp_path / "out", tmp_path / "results"
    folder = "scores/scannet-probe-1/small/scratch"
    for seed in range(3):
        path = source / folder / f"seed-{seed}/score.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"scores": {"miou": 5.0 + seed}}))
    seeds = []
    for settings in (ReproduceSettings(seeds=2), ReproduceSettings(seeds=1, first_seed=2)):
        found = collect("demo", source, settings)
        write_results("demo", found, source, Console(quiet=True))
        color = (0, 0, 120 * len(seeds))
        Image.new("RGB", (8, 8), color).save(source / "table-demo-features.png")
        MAKE["take"](source, results, ["demo"])
        seeds.append(json.loads((results / "table-demo.json").read_text())["rows"]["scratch"])
    assert [cells[0]["seeds"] for cells in seeds] == [
        {"0": 5.0, "1": 6.0},
        {"0": 5.0, "1": 6.0, "2": 7.0},
    ]
    assert Image.open(results / "table-demo-features.jpg").getpixel((0, 0)) == (0, 0, 0)


def test_without_tables_the_page_says_so(tmp_path):
    assert "Tables that have not been run: 1, 2, 3, 4," in MAKE["page"](tmp_path)
