"""`geoset pretrain` ended by kill -9 and resumed: the same weights and the same log."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny_run import untimed_log, weights

from geoset import cli
from geoset.training.log import read_log

STEPS = 10  # of each stage
OPTIONS = [
    *("--recipe", "small", "--model.width", "0.125", "--pixel-samples", "128"),
    *("--stages.0.steps", str(STEPS), "--stages.1.steps", str(STEPS)),
    *("--accelerator", "cpu", "--checkpoint-seconds", "0", "--resume"),
]


@pytest.fixture(scope="module")
def processes():
    """Start processes from a server that has torch loaded; forking this one is not safe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["geoset.tasks.pretrain", "lightning_fabric", "torch.utils.tensorboard"]
    )
    return context


def command_line(start_method, *arguments):
    # Loader workers start as the real command's do; here, each would import all of it anew.
    multiprocessing.set_start_method(start_method, force=True)
    torch.set_num_threads(1)  # two wait for each other where others use the machine too
    sys.argv = ["geoset", *map(str, arguments)]
    cli.main()


def start(processes, prepared, run):
    """Start the command, or go on with it."""
    arguments = ("pretrain", prepared, "--out", run, *OPTIONS)
    start_method = multiprocessing.get_start_method()
    process = processes.Process(target=command_line, args=(start_method, *arguments))
    process.start()
    return process


def finish(process):
    process.join()
    assert process.exitcode == 0


def rows(run):
    return len(read_log(run)) if (run / "log.jsonl").exists() else 0


def wait_for_rows(process, run, count):
    """Wait until `count` steps are logged, or the run has ended."""
    deadline = time.monotonic() + 120
    while rows(run) < count and process.is_alive():
        assert time.monotonic() < deadline, f"{run} has {rows(run)} rows, not {count}"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(processes, prepared_rooms, tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    finish(start(processes, prepared_rooms, run))
    return run


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again(processes, prepared_rooms, whole, tmp_path, kills):
    """Kills come at random moments of steps that are spread over the run."""
    moments = random.Random(kills)
    stretch = 2 * STEPS // kills
    for kill in range(kills):
        process = start(processes, prepared_rooms, tmp_path)
        wait_for_rows(process, tmp_path, kill * stretch + moments.randint(0, stretch - 1))
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    finish(start(processes, prepared_rooms, tmp_path))
    assert weights(tmp_path) == weights(whole)
    assert untimed_log(tmp_path) == untimed_log(whole)
    assert len(untimed_log(whole)) == 2 * STEPS


EVERY_LOSS = [
    *("--recipe", "paper", "--scale", "small", "--model.width", "0.125", "--batch-pairs", "4"),
    *("--stages.0.steps", "5", "--stages.1.steps", "5", "--stages.0.sets", "1"),
    *("--pixel-samples", "128", "--geo.samples", "64", "--geo.voxel-size", "0.1"),
    *("--accumulate", "2", "--accelerator", "cpu", "--devices", "2", "--workers", "0"),
    *("--checkpoint-seconds", "0", "--resume"),
]


@pytest.mark.slow
def test_two_processes_with_every_loss_killed_at_ten_steps(prepared_rooms, tmp_path):
    """Under torchrun, in two parts a step: before each of the ten steps all of it is killed."""

    def start(run):
        launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        command = ("-m", "geoset", "pretrain", prepared_rooms, "--out", run, *EVERY_LOSS)
        return subprocess.Popen(
            [sys.executable, "-m", *launcher, *map(str, command)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    for step in range(10):
        process = start(killed)
        while rows(killed) <= step and process.poll() is None:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(killed).wait() == 0
    assert weights(killed) == weights(whole)
    assert untimed_log(killed) == untimed_log(whole)
