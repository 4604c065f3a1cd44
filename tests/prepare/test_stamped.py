"""Arrays of many scenes at once."""

import resource

import numpy as np
import pytest

from geoset.prepare.stamped import read_array, write_stamped
from geoset.prepare.storage import LocalFolder


@pytest.fixture
def few_files():
    """Let this process have 64 files open, fewer than a data set has scenes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_arrays_that_are_kept_keep_no_file_open(tmp_path, few_files):
    folder = LocalFolder(tmp_path)
    for k in range(100):
        write_stamped(folder, f"sets-{k}", np.arange(k, k + 3), {})
    arrays = [read_array(folder, f"sets-{k}") for k in range(100)]
    assert [array.tolist() for array in arrays] == [[k, k + 1, k + 2] for k in range(100)]
