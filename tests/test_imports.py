"""Imports point one way; packages know only what they may."""

import ast
from pathlib import Path

import pytest

import geoset

SOURCE = Path(geoset.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py"))

# Known to all. `geoset` itself holds the version, and public names that are imported when used.
EVERYONE = {"geoset", "geoset.errors", "geoset.files", "geoset.recipes", "geoset.spacing"}

# What a part may import besides itself and EVERYONE; "a.b" is one module of a part.
MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "files": set(),
    "recipes": set(),
    "spacing": set(),
    "geometry": set(),
    "scans": {"geometry"},
    "prepare": {"geometry", "scans"},
    "data": {"geometry", "scans", "prepare.scene", "prepare.groups", "prepare.transfer"},
    "models": set(),
    "losses": set(),
    "training": set(),
    "evaluation": set(),
    "reports": {"geometry", "prepare.scene"},
    "viewer": {"geometry", "prepare", "reports"},
    "export": {"models"},
    "tasks": {
        *("geometry", "scans", "prepare", "data", "models", "losses"),
        *("training", "evaluation", "reports", "viewer", "export"),
    },
    "cli": {"tasks"},
}
WITHOUT_TORCH = {
    "__main__",
    "cli",
    "errors",
    "files",
    "recipes",
    "spacing",
    "geometry",
    "scans",
    "prepare",
    "reports",
    "viewer",
}
TORCH = {"torch", "torchvision", "timm", "lightning", "safetensors", "ocnn"}


def part_of(path):
    """First name below `geoset` of a module's file."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            # What is imported from a package may be one of its modules.
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                file = SOURCE.parent / name.replace(".", "/")
                if node.module == "geoset" and alias.name in geoset._PUBLIC:
                    yield geoset._PUBLIC[alias.name]
                else:
                    yield name if file.with_suffix(".py").is_file() else node.module


def allowed(name, part):
    inside = name.removeprefix("geoset.")
    return any(
        inside == known or inside.startswith(f"{known}.") for known in {part, *MAY_IMPORT[part]}
    )


def module_name(path):
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_direction(path):
    part = part_of(path)
    ours = {name for name in imported(path) if name.split(".")[0] == "geoset"}
    ours = {name for name in ours if not name.startswith("geoset.recipes.")}
    assert {name for name in ours - EVERYONE if not allowed(name, part)} == set()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_torch_stays_where_it_belongs(path):
    if part_of(path) in WITHOUT_TORCH:
        assert TORCH.isdisjoint(name.split(".")[0] for name in imported(path))


def test_the_table_is_complete():
    assert {part_of(path) for path in MODULES} <= MAY_IMPORT.keys()


def test_wrong_imports_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import geoset.tasks.prepare\n"
        "from geoset.scans import detect\n"
        "from geoset.prepare.scene import PreparedScene\n"
        "from geoset.prepare import run\n"
        "from geoset import ResUNet, __version__\n"
        "def late():\n    from geoset.losses.sets import set_info_nce\n"
    )
    found = list(imported(path))
    assert found == [
        "geoset.tasks.prepare",
        "geoset.scans.detect",
        "geoset.prepare.scene",
        "geoset.prepare.run",
        "geoset.models.resunet",
        "geoset",
        "geoset.losses.sets",
    ]
    rest = [name for name in found if name not in EVERYONE]
    assert [allowed(name, "data") for name in rest] == [False, True, True, False, False, False]
