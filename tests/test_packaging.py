"""What is shipped: wheel and sdist, and the wheel alone in an empty environment."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from documented import at_tiny_scale

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = ("3.11", "3.12", "3.13")
MAKE_ROOMS = """
from pathlib import Path
from geoset.scans.rooms import RoomSettings, write_room
for split, seed in (("train", 0), ("val", 1)):
    write_room(f"rooms/room{seed}", seed, RoomSettings(frames=4))
    Path(f"rooms/{split}.txt").write_text(f"room{seed}")
"""
COMMANDS = (
    "geoset inspect rooms",
    "geoset prepare rooms prepared --image-size 96 128",
    "geoset pretrain prepared --out runs/first",
    "geoset finetune segmentation --data rooms --encoder runs/first --out runs/segmenter",
    "geoset evaluate runs/segmenter --data rooms",
    "geoset predict runs/segmenter rooms/room1/color --out predictions",
    "geoset export runs/first --to timm --out exported",
)
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "src", "tests", "docs", "examples")


def call(*words, **options):
    """Run a program; return what it printed."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of wheel and sdist, made from a copy of the source."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SHIPPED:
        path = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source)
    call("uv", "build", "--quiet", "--out-dir", out, source)
    return out


@pytest.mark.slow
def test_contents_of_the_wheel(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src/geoset").rglob("*.py")}
    assert source | {"geoset/py.typed"} <= names
    assert all(re.match(r"geoset(-[\d.]+\.dist-info)?/", name) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_contents_of_the_sdist(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "src/geoset/py.typed"} <= names


@pytest.fixture(scope="module", params=VERSIONS)
def installed(request, built, tmp_path_factory):
    """Call a program of an environment that holds the wheel alone, outside of the source."""
    (wheel,) = built.glob("*.whl")
    folder = tmp_path_factory.mktemp("installed")
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "VIRTUAL_ENV") and not key.startswith("PYTEST")
    }
    interpreter = subprocess.run(
        ["uv", "python", "find", "--no-project", "--no-python-downloads", request.param],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    if interpreter.returncode:
        pytest.skip(f"no Python {request.param} here")
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")

    def use(program, *words):
        return call(programs / program, *words, cwd=folder, env=environment)

    call("uv", "venv", "--quiet", "--python", interpreter.stdout.strip(), folder / "venv")
    call("uv", "pip", "install", "--quiet", "--python", programs / "python", wheel, cwd=folder)
    assert f"Python {request.param}." in use("python", "--version")
    assert Path(use("python", "-c", "import geoset; print(geoset.__file__)")).is_relative_to(folder)
    yield folder, use
    shutil.rmtree(folder / "venv")  # gigabytes


@pytest.mark.slow
def test_wheel_says_what_it_is(installed):
    _, use = installed
    assert use("geoset", "--version").strip() == PROJECT["version"]
    assert "prepare" in use("geoset", "--help")


@pytest.mark.slow
def test_demo_of_the_wheel(installed):
    folder, use = installed
    use(*at_tiny_scale("geoset demo"))
    assert (folder / "geoset-demo/table-demo.html").is_file()


@pytest.mark.slow
def test_commands_of_the_wheel(installed):
    """From scans to label images, each step by its command."""
    folder, use = installed
    use("python", "-c", MAKE_ROOMS)
    for command in COMMANDS:
        use(*at_tiny_scale(command))
    assert list((folder / "predictions").glob("*.labels.png"))
    assert (folder / "exported/README.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_extras_resolve(version, built, tmp_path):
    (wheel,) = built.glob("*.whl")
    names = ",".join(PROJECT["optional-dependencies"])
    wanted = tmp_path / "requirements.in"
    wanted.write_text(f"geoset[{names}] @ {wheel.as_uri()}\n")
    found = call(
        "uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header",
        "--python-version", version, "--only-binary", ":all:", wanted, cwd=tmp_path,
    )  # fmt: skip
    for extra in PROJECT["optional-dependencies"].values():
        for requirement in extra:
            assert re.search(rf"^{re.split('[>=<]', requirement)[0]}==", found, re.MULTILINE)


def test_versions_agree():
    given = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert given == PROJECT["version"]
    assert f"## {given}" in (ROOT / "CHANGELOG.md").read_text()
    assert [f"Programming Language :: Python :: {v}" for v in VERSIONS] == [
        line for line in PROJECT["classifiers"] if "Python ::" in line
    ]


def test_contributing_takes_three_commands():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    commands = re.search(r"```bash\n(.*?)```", text, re.DOTALL)[1].splitlines()
    assert len(commands) == 3
    done = (ROOT / ".ci/run").read_text()
    assert all(command.rpartition("&& ")[2] in done for command in commands[1:])


def test_citation_is_valid():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "preferred-citation"} <= content.keys()
