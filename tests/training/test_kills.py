"""Runs that are ended from outside, then resumed: the same weights and the same log."""

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_run
from test_loop import assert_same_run
from two_processes import exit_codes, start_pair

from geoset.training.log import read_log

STEPS = 25
PAUSE = 0.01
DEVICES = '{"devices": 2}'


OPTIONS = {
    "plain": {},
    "fetched three at a time": {"together": 3},
    "two batches a step": {"accumulate": 2},
    "two processes": {"devices": 2},
    "two of both": {"devices": 2, "accumulate": 2},
}


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    assert exit_codes(start(processes, run)) == [0]
    return run


def start(processes, run: Path, **options):
    """Start the processes of a run, or of what is left of it."""
    arguments = (toy_run.slow_run, run, STEPS, PAUSE)
    if options.get("devices") == 2:
        return start_pair(processes, *arguments, **options)
    process = processes.Process(target=arguments[0], args=arguments[1:], kwargs=options)
    process.start()
    return [process]


def rows(run: Path) -> int:
    return len(read_log(run)) if (run / "log.jsonl").exists() else 0


def wait_for_rows(run: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while rows(run) < count:
        assert time.monotonic() < deadline, f"{run} has {rows(run)} rows, not {count}"
        time.sleep(0.005)


def kill_and_resume(processes, run: Path, kills: int, **options) -> None:
    """Kill `run` at random moments, spread over most of its length; then let it end.

    Of two processes one is killed, and the other must end by itself.
    """
    moments = random.Random(kills)
    stretch = int(1.6 * STEPS) // kills
    for kill in range(kills):
        started = start(processes, run, **options)
        wait_for_rows(run, kill * stretch + moments.randint(1, stretch - 1))
        time.sleep(moments.uniform(0, 2 * PAUSE))
        moments.choice(started).kill()
        codes = exit_codes(started)
        assert -signal.SIGKILL in codes
        assert 0 not in codes
    assert set(exit_codes(start(processes, run, **options))) == {0}


def test_a_run_killed_again_and_again(processes, whole, tmp_path):
    kill_and_resume(processes, tmp_path, 3)
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("case", OPTIONS)
def test_a_run_killed_ten_times(processes, tmp_path, case):
    options = OPTIONS[case]
    assert set(exit_codes(start(processes, tmp_path / "whole", **options))) == {0}
    kill_and_resume(processes, tmp_path / "killed", 10, **options)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_sigterm_ends_the_run_with_a_checkpoint(processes, whole, tmp_path):
    (process,) = start(processes, tmp_path)
    wait_for_rows(tmp_path, 5)
    process.terminate()
    assert exit_codes([process]) == [143]
    assert (tmp_path / f"checkpoints/step-{rows(tmp_path):08d}").exists()
    assert exit_codes(start(processes, tmp_path)) == [0]
    assert_same_run(tmp_path, whole)


def signalled_at(stage_step: int, *numbers: int):
    """Batches during whose step this process gets the signals."""

    def batches(first, rank, world):
        for batch in toy_run.toy_batches(first, rank, world):
            if batch.step == stage_step:
                for number in numbers:
                    signal.raise_signal(number)
            yield batch

    return batches


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_the_step_in_progress_ends_first(tmp_path, capsys, number, code):
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as exit_:
        toy_run.toy_train(tmp_path, toy_run.toy_stages(signalled_at(2, number)))
    assert exit_.value.code == code
    assert rows(tmp_path) == 3
    assert (tmp_path / "checkpoints/step-00000003").exists()
    assert (
        "Stopped after 3 of 12 steps; they are saved. Run the same command with --resume to go on."
    ) in capsys.readouterr().out
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


def test_a_signal_in_the_last_step_changes_nothing(tmp_path):
    first, second = toy_run.toy_stages()[0], toy_run.toy_stages(signalled_at(4, signal.SIGTERM))[1]
    toy_run.toy_train(tmp_path, [first, second])
    assert (tmp_path / "model.safetensors").exists()


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    twice = signalled_at(2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        toy_run.toy_train(tmp_path, toy_run.toy_stages(twice))
    assert rows(tmp_path) == 2
    assert not (tmp_path / "checkpoints").exists()


def test_data_workers_that_die_of_the_signal(tmp_path, capsys):
    def batches(first, rank, world):
        yield from itertools.islice(toy_run.toy_batches(first, rank, world), 2)
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")

    with pytest.raises(SystemExit) as exit_:
        toy_run.toy_train(tmp_path, toy_run.toy_stages(batches))
    assert exit_.value.code == 143
    assert (
        "Stopped between two checkpoints (DataLoader worker (pid 1) is killed by signal: "
        "Terminated.). Run the same command with --resume to go on from the last one."
    ) in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_stop_and_resume_together(tmp_path):
    def run(folder):
        script = [sys.executable, toy_run.__file__, str(STEPS), str(PAUSE), DEVICES, folder]
        return subprocess.Popen(script)

    assert run(tmp_path / "whole").wait() == 0
    process = run(tmp_path / "stopped")
    wait_for_rows(tmp_path / "stopped", 5)
    process.terminate()
    assert process.wait() == 143
    assert run(tmp_path / "stopped").wait() == 0
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
