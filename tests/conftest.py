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


@pytest.fixture
def limit_file_size():
    """Let no file grow beyond the given bytes: writing fails in the middle, as on a full disk."""
    import resource  # not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
