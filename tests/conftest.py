"""Put tests/ on the path, so that tests import their slow twins as `from reference.x import y`."""

import os
import sys
from pathlib import Path

import pytest

# Tests run side by side: with two threads each they would wait for each other at every layer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# They start many processes, each of which would compile torch anew.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

sys.path.insert(0, str(Path(__file__).parent))

# Minutes long: begun last, one of them would be left to one process while the other has no more.
LONGEST = (
    "test_readme.py",
    "test_reproduce_published.py",
    "test_pretrain_killed.py",
    "test_reproduce.py",
    "test_pretrain.py",
    "test_prepare_many.py",
    "test_finetune_segmentation.py",
)


def pytest_collection_modifyitems(items):
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture
def limit_file_size():
    """Let no file grow beyond the given bytes: writing fails in the middle, as on a full disk."""
    import resource  # not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
