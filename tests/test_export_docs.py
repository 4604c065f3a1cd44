"""docs/export.md, its commands and code run in order, section by section."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from export_cases import follow, save_run
from geoset import GeosetError
from geoset.cli.share import export
from geoset.tasks.export import PARTS

TEXT = (Path(__file__).parents[1] / "docs" / "export.md").read_text()
FIRST, *SECTIONS = re.split(r"\n## ", TEXT)
TITLES = [section.partition("\n")[0] for section in SECTIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    save_run("resnet18", folder / "runs/first")
    save_run("unet", folder / "runs/segmenter")
    return folder


@pytest.fixture
def names(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return follow(FIRST)


def test_the_beginning(names):
    sizes = {name: x.shape[-2:] for name, x in names["maps"].items()}
    assert sizes == {f"stride{n}": (240 // n, -(-320 // n)) for n in (4, 8, 16)} | {
        "stride32": (8, 10)  # 7.5 is rounded up
    }


@pytest.mark.parametrize(
    "title", [pytest.param(t, marks=pytest.mark.slow if t == "ONNX" else ()) for t in TITLES]
)
def test_section(title, names):
    section = SECTIONS[TITLES.index(title)]
    if title == "ONNX":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[:2] == ["geoset", "export"]
            tyro.extras.subcommand_cli_from_dict({"export": export}, args=words[1:])
    if title == "detectron2":
        assert {path.name for path in Path("for-detectron2").iterdir()} == {
            "README.md",
            "resnet18.pkl",
            "resnet18.yaml",
        }
        pytest.importorskip("detectron2")
    follow(section, **names)


def test_what_is_no_model_of_torchvision(names):
    save_run("narrow", Path("runs/narrow"))
    with pytest.raises(GeosetError, match="Export it with --to timm"):
        export(Path("runs/narrow"), to="torchvision")


def test_the_table_names_all_targets():
    assert re.findall(r"^\| `(\w+)` \|", FIRST, re.MULTILINE) == list(PARTS)
    assert len(TITLES) == len(PARTS)
