"""Processes for the tests that need some."""

import multiprocessing
from functools import partial

import pytest
from two_processes import start_pair


@pytest.fixture(scope="session")
def processes():
    """Start processes from a server that has torch loaded; forking this one is not safe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_fabric", "geoset.training.loop"])
    return context


@pytest.fixture(scope="session")
def start_together(processes):
    """Start two processes, see `start_pair`."""
    return partial(start_pair, processes)
