"""Run docs/scan_to_features.py and store it with its outputs: `python docs/make_notebook.py`."""

import os
import tempfile
from pathlib import Path

import jupytext
import nbclient

SCRIPT = Path(__file__).with_name("scan_to_features.py")


def main() -> None:
    """Write docs/scan_to_features.ipynb; it takes minutes."""
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm's, without ipywidgets
    notebook = jupytext.read(SCRIPT)
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            coalesce_streams=True,
            record_timing=False,
        ).execute()
    jupytext.write(notebook, SCRIPT.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
