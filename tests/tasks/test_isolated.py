"""A process that may die: results come through, deaths are told, nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dangerous_work
import pytest

from geoset.tasks.isolated import IsolatedPool, IsolatedProcess, ProcessDiedError


@pytest.fixture
def process():
    process = IsolatedProcess()
    yield process
    process.close()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_ends(pid):
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_results_come_from_one_other_process(process, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    item, pid, _ = process.call(dangerous_work.who, "a")
    assert item == "a" and pid != os.getpid()
    assert process.call(dangerous_work.who, "b")[:2] == ("b", pid)


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_one_thread_unless_asked_for_more(monkeypatch, given, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    process = IsolatedProcess()
    assert process.call(dangerous_work.who, "a")[2] == expected
    process.close()


def test_steps_are_shown_and_prints_disturb_nobody(process):
    seen = []
    assert process.call(dangerous_work.count_aloud, 3, lambda *step: seen.append(step)) == "counted"
    assert seen == [("steps", done, 3) for done in range(3)]


@pytest.mark.parametrize(
    ("how", "told", "logged"),
    [
        ("SIGKILL", "SIGKILL", "last words"),
        ("SIGTERM", "SIGTERM", "last words"),
        ("segfault", "SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("exit", "exit code 3", "last words"),
        ("exception", "exit code 1", "RuntimeError: not caught"),
        ("unpicklable", "exit code 1", "pickle"),
    ],
)
def test_deaths(process, how, told, logged):
    with pytest.raises(ProcessDiedError) as died:
        process.call(dangerous_work.die, how)
    assert died.value.how == told
    assert logged in died.value.log


def test_only_the_last_words_are_told(process):
    process.call(dangerous_work.count_aloud, 1)
    with pytest.raises(ProcessDiedError) as died:
        process.call(dangerous_work.die, "SIGKILL")
    assert died.value.log == "last words\n"


def test_a_process_that_died_before_its_work(process):
    pid = process.call(dangerous_work.who, "a")[1]
    os.kill(pid, signal.SIGKILL)
    assert_ends(pid)
    with pytest.raises(ProcessDiedError, match="SIGKILL"):
        process.call(dangerous_work.who, "b")


def test_the_dead_leave_no_files_open():
    pool = IsolatedPool()

    def open_after_a_death():
        with pytest.raises(ProcessDiedError):
            pool.call(dangerous_work.die, "SIGKILL")
        return len(list(Path("/proc/self/fd").iterdir()))

    first = open_after_a_death()
    assert [open_after_a_death() for _ in range(3)] == [first] * 3
    assert pool.call(dangerous_work.who, "a")[0] == "a"
    pool.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == first


def test_it_ends_when_closed(process):
    pid = process.call(dangerous_work.who, "a")[1]
    process.close()
    assert not is_running(pid)


PARENT = """
import sys, threading, time, os, signal
import dangerous_work
from geoset.tasks.isolated import IsolatedProcess
process = IsolatedProcess()
print(process.call(dangerous_work.who, 0)[1], flush=True)
if sys.argv[1] == "busy":
    threading.Thread(target=process.call, args=(dangerous_work.sleep, 60)).start()
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_it_ends_when_its_parent_is_killed(state):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, env=environment
    )
    assert parent.returncode == -signal.SIGKILL
    assert_ends(int(parent.stdout))


def test_it_leaves_an_interrupt_to_its_parent(process):
    pid = process.call(dangerous_work.who, "a")[1]
    os.kill(pid, signal.SIGINT)
    assert process.call(dangerous_work.who, "b")[1] == pid
