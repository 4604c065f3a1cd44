import pytest
import torch
from two_rooms import prepare_quietly, write_two_rooms


@pytest.fixture(scope="session")
def rooms(tmp_path_factory):
    """A folder of two scans."""
    return write_two_rooms(tmp_path_factory.mktemp("rooms"))


@pytest.fixture(scope="session")
def prepared_rooms(rooms, tmp_path_factory):
    """The two, prepared; not to be written to."""
    out = tmp_path_factory.mktemp("prepared")
    prepare_quietly(rooms, out)
    return out


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine two threads wait for each other at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
