"""The notebook: its script runs at tiny scale; what is stored is the script with its outputs."""

import re
from pathlib import Path

import pytest

from geoset.scans.rooms import RoomSettings, write_room

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs/scan_to_features.py"
STORED = SCRIPT.with_suffix(".ipynb")
TINY = {"ROOMS, FRAMES": "2, 4", "STEPS": "2", "LABELLED_ROOMS": "5"}
LARGEST = 1_500_000  # bytes


@pytest.fixture(scope="module")
def stored():
    return jupytext.read(STORED)


def run(folder, **values):
    """Run the script in a folder, with other values of the variables at its top."""
    script = SCRIPT.read_text()
    for name, value in (TINY | values).items():
        script, count = re.subn(
            rf"^{name} = [\w, ]+?(?=  #)", f"{name} = {value}", script, flags=re.M
        )
        assert count == 1, name
    notebook = jupytext.reads(script, "py:percent")
    place = {"metadata": {"path": str(folder)}}
    return nbclient.NotebookClient(notebook, kernel_name="python3", resources=place).execute()


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def said(notebook):
    """What was printed, or displayed as text or HTML."""
    found = []
    for output in outputs(notebook):
        data = output.get("data", {})
        found += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "\n".join(found)


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/" in " ".join(output.get("data", {}))]


def test_made_up_rooms(tmp_path):
    notebook = run(tmp_path)
    assert len(pictures(notebook)) == 9
    assert "stride32 (1, 128, 3, 4)" in said(notebook)
    assert (tmp_path / "geoset-notebook/run/export/timm/resnet18.safetensors").is_file()


@pytest.mark.slow
def test_a_scan_of_ones_own(tmp_path):
    write_room(tmp_path / "my_scans/my_scan", 0, RoomSettings(frames=4))
    assert "all scans: my_scan\n" in said(run(tmp_path, SCANS="'my_scans'"))
    assert not (tmp_path / "geoset-notebook/scans").exists()


def test_stored_is_the_script(stored):
    script = jupytext.read(SCRIPT)
    assert [(cell.cell_type, cell.source) for cell in stored.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], "docs/scan_to_features.py changed: run python docs/make_notebook.py"


def test_stored_ran_through(stored):
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    kinds = {output.get("name", output.output_type) for output in outputs(stored)}
    assert kinds <= {"stdout", "display_data", "execute_result"}
    assert len(pictures(stored)) == 9
    assert STORED.stat().st_size < LARGEST
    assert not re.search(r"(?<![\w.<])/(tmp|home|root|usr|work)/", said(stored))


def figures(notebook, row):
    """The lists of shares that rows of that name print, such as "after  12.3%  45.6%"."""
    rows = re.findall(rf"^{row} .*%.*$", said(notebook), re.M)
    return [[float(share) for share in re.findall(r"([\d.]+)%", found)] for found in rows]


def test_stored_shows_what_its_text_says(stored):
    """Trained features find more matches, and know more of the classes."""
    matches_before, classes_before = figures(stored, "before")
    matches_after, classes_after = figures(stored, "after")
    assert matches_after[1] > 2 * matches_before[1]
    assert classes_after[0] > classes_before[0]
