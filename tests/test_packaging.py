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

from documented import at_tiny_scale

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = ("3.11", "3.12", "3.13")
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


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_wheel_alone_in_an_empty_environment(version, built, tmp_path):
    """From outside the source; the demo prepares, trains and scores, and then its run exports."""
    (wheel,) = built.glob("*.whl")
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "VIRTUAL_ENV") and not key.startswith("PYTEST")
    }
    interpreter = subprocess.run(
        ["uv", "python", "find", "--no-project", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    if interpreter.returncode:
        pytest.skip(f"no Python {version} here")
    home = {"cwd": tmp_path, "env": environment}
    call("uv", "venv", "--quiet", "--python", interpreter.stdout.strip(), "venv", **home)
    programs = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    call("uv", "pip", "install", "--quiet", "--python", programs / "python", wheel, **home)
    where = call(programs / "python", "-c", "import geoset; print(geoset.__file__)", **home)
    assert Path(where).is_relative_to(tmp_path)
    assert call(programs / "geoset", "--version", **home).strip() == PROJECT["version"]
    assert "prepare" in call(programs / "geoset", "--help", **home)
    call(programs / "geoset", *at_tiny_scale("geoset demo")[1:], **home)
    assert (tmp_path / "geoset-demo/report.html").is_file()
    run = next(tmp_path.glob("geoset-demo/**/model.safetensors")).parent
    call(programs / "geoset", "export", run, "--to", "timm", "--out", "exported", **home)


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


@pytest.mark.slow
def test_citation_is_valid():
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "preferred-citation"} <= content.keys()
