"""Runs of two processes, as Fabric, torchrun and SLURM start them."""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
import toy_run
from safetensors.torch import load_file
from test_loop import assert_same_run
from torch import nn
from two_processes import exit_codes

from geoset import GeosetError
from geoset.training import processes
from geoset.training.log import read_log
from geoset.training.processes import start_processes

STEPS = 4


def torchrun(*runs):
    """Make the toy runs, one after the other."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(STEPS), "0", '{"devices": 2}', *map(str, runs)]
    return subprocess.run([sys.executable, "-m", *launch, toy_run.__file__, *arguments]).returncode


@pytest.fixture(scope="module")
def whole(start_together, tmp_path_factory):
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    assert exit_codes(start_together(toy_run.slow_run, run, STEPS, 0.0, devices=2)) == [0, 0]
    return run


def test_torchrun_makes_one_run_after_the_other(whole, tmp_path):
    runs = [tmp_path / "a", tmp_path / "b"]
    assert torchrun(*runs) == 0
    for run in runs:
        assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("launcher", "asked"),
    [
        ("slurm", {"devices": 2}),
        ("slurm machines", {"devices": 1, "num_nodes": 2}),
    ],
)
def test_processes_started_by_others(start_together, whole, tmp_path, launcher, asked):
    started = start_together(toy_run.slow_run, tmp_path, STEPS, 0.0, launcher=launcher, **asked)
    assert exit_codes(started) == [0, 0]
    assert_same_run(tmp_path, whole)


@pytest.fixture
def on_a_mac(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_on_a_mac_the_cpu_is_what_is_chosen(on_a_mac):
    assert start_processes("auto", 1, 1, "32-true").device.type == "cpu"


@pytest.mark.parametrize("accelerator", ["gpu", "mps"])
def test_the_gpu_of_a_mac_is_refused(on_a_mac, accelerator):
    with pytest.raises(GeosetError, match=r"GPUs have no float64.* use --accelerator cpu"):
        start_processes(accelerator, 1, 1, "32-true")


def linear_run(out, accumulate, devices):
    """SGD on a linear model, without anything random."""

    def compute(model, batch, generator):
        return {"loss": ((model(batch.x) - batch.y) ** 2).mean()}

    def batches(first, rank, ranks):
        """Batches 0, 2, 4... on the first of two processes, the others on the second."""
        for number in itertools.count(first * accumulate * ranks + rank, ranks):
            generator = torch.Generator().manual_seed(number)
            x = torch.randn(16, 4, generator=generator)
            yield toy_run.Batch(x, x.sum(1, keepdim=True), number)

    torch.manual_seed(3)
    stage = toy_run.toy_stages(batches, compute)[0]
    toy_run.train(
        nn.Linear(4, 1),
        [stage],
        out,
        settings={},
        seed=0,
        save_weights=toy_run.save_model,
        accelerator="cpu",
        devices=devices,
        accumulate=accumulate,
        tensorboard=False,
    )


class OneOfTwo:
    """The first of two processes, which notes what it tells the other."""

    is_global_zero, world_size = True, 2

    def __init__(self):
        self.told = []

    def broadcast(self, what):
        self.told.append(what)
        return what


@pytest.mark.parametrize("error", [GeosetError("no"), OSError(28, "No space left on device")])
def test_the_others_are_told_that_the_first_failed(monkeypatch, error):
    monkeypatch.setattr(processes, "end_processes", lambda fabric: None)
    fabric = OneOfTwo()

    def fail():
        raise error

    with pytest.raises(type(error)):
        processes.on_first(fabric, fail)
    assert fabric.told == [(None, True)]


def test_two_processes_learn_the_same_as_one(start_together, tmp_path):
    """The gradient is the mean over processes, and over the batches of a step."""
    linear_run(tmp_path / "one", 2, devices=1)
    assert exit_codes(start_together(linear_run, tmp_path / "two", 1, devices=2)) == [0, 0]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
    losses = [[row["loss"] for row in read_log(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert [row["frames"] for row in read_log(tmp_path / "two")] == [32] * 7


def drawing_run(out):
    """Each process writes down what is drawn for its batches."""
    draws = []

    def compute(model, batch, generator):
        draws.append(torch.rand((), generator=generator).item())
        return toy_run.compute(model, batch, generator)

    toy_run.toy_train(out, toy_run.toy_stages(compute=compute, steps=(2, 2)), devices=2)
    (out / f"draws-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(draws))


def test_processes_draw_differently(start_together, tmp_path):
    assert exit_codes(start_together(drawing_run, tmp_path)) == [0, 0]
    draws = [json.loads((tmp_path / f"draws-{rank}.json").read_text()) for rank in range(2)]
    assert len({draw for of_rank in draws for draw in of_rank}) == 2 * (2 + 2)


def late_run(out):
    """The second process comes when the first would have made its folder long ago."""
    if os.environ["RANK"] == "1":
        time.sleep(1.5)
    toy_run.slow_run(out, STEPS, 0.0, devices=2, resume=False)


def test_a_late_process_finds_no_run_of_others(start_together, whole, tmp_path):
    assert exit_codes(start_together(late_run, tmp_path)) == [0, 0]
    assert_same_run(tmp_path, whole)


def refused_run(out, says, batches=toy_run.toy_batches):
    """Write down what this process raises."""
    try:
        toy_run.toy_train(out, toy_run.toy_stages(batches), devices=2)
    except BaseException as error:
        (says / os.environ["RANK"]).write_text(f"{type(error).__name__}: {error}")
        raise


def test_a_folder_with_a_run_is_refused_by_all_at_once(start_together, whole, tmp_path):
    assert exit_codes(start_together(refused_run, whole, tmp_path)) == [1, 1]
    assert (tmp_path / "0").read_text().startswith(f"GeosetError: {whole} already holds a run.")
    assert (tmp_path / "1").read_text() == "SystemExit: 1"


def batches_on_a_full_disk(first, rank, world):
    """From step 3 on no file grows beyond 400 bytes, or three rows of the log."""
    for batch in toy_run.toy_batches(first, rank, world):
        if batch.step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
        yield batch


@pytest.mark.parametrize("when", ["opened", "written"])
def test_a_log_that_cannot_be_written_ends_all_at_once(start_together, tmp_path, when):
    out = tmp_path / "run"
    if when == "opened":
        (out / "log.jsonl").mkdir(parents=True)
    started = start_together(refused_run, out, tmp_path, batches=batches_on_a_full_disk)
    assert exit_codes(started) == [1, 1]
    assert (tmp_path / "0").read_text().startswith(f"GeosetError: {out}/log.jsonl: cannot be")
    assert (tmp_path / "1").read_text() == "SystemExit: 1"


def spoiled_run(out, says):
    """The loss of the second process is not finite in its third step."""

    def compute(model, batch, generator):
        terms = toy_run.compute(model, batch, generator)
        bad = batch.step == 2 and os.environ["RANK"] == "1"
        return terms | {"loss": terms["loss"] * (float("inf") if bad else 1.0)}

    def batches(first, rank, world):
        for batch in toy_run.toy_batches(first, rank, world):
            batch.describe = lambda text=f"process {rank}, batch {batch.step}": text
            yield batch

    try:
        toy_run.toy_train(out, toy_run.toy_stages(batches, compute), devices=2)
    except GeosetError as error:
        (says / os.environ["RANK"]).write_text(str(error))
        raise


def test_the_batch_of_the_process_that_went_wrong_is_named(start_together, tmp_path):
    assert exit_codes(start_together(spoiled_run, tmp_path / "run", tmp_path)) == [1, 1]
    text = (tmp_path / "0").read_text()
    assert text.startswith("stage 'first', step 3 of 7: the loss is inf, with a learning rate")
    assert "Its batch: process 1, batch 2. No checkpoint exists yet." in text
    assert not (tmp_path / "1").exists()


def failing_run(out):
    """The data of one process cannot be read."""

    def batches(first, rank, world):
        for batch in toy_run.toy_batches(first, rank, world):
            if rank == 1 and batch.step == 2:
                raise GeosetError("frame 7 is damaged")
            yield batch

    toy_run.toy_train(out, toy_run.toy_stages(batches), devices=2)


def test_one_process_that_fails_ends_the_other(start_together, tmp_path):
    assert exit_codes(start_together(failing_run, tmp_path)) == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("receivers", [[0], [1], [0, 1]])
def test_a_signal_to_one_process_stops_all_of_them(
    start_together, whole, tmp_path, number, receivers
):
    started = start_together(toy_run.slow_run, tmp_path, STEPS, 0.1, devices=2)
    while not (tmp_path / "log.jsonl").exists() or len(read_log(tmp_path)) < 2:
        time.sleep(0.01)
    for receiver in receivers:
        os.kill(started[receiver].pid, number)
    codes = exit_codes(started)
    assert [codes[k] for k in receivers] == [128 + number] * len(receivers)
    assert set(codes) <= {128 + number, 143}
    assert exit_codes(start_together(toy_run.slow_run, tmp_path, STEPS, 0.0, devices=2)) == [0, 0]
    assert_same_run(tmp_path, whole)


TORCHRUN = {"TORCHELASTIC_RUN_ID": "toy", "WORLD_SIZE": "4"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NAME": "toy"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            TORCHRUN,
            "torchrun started 4 processes (WORLD_SIZE), but 3 devices on each of 2 machines take "
            "6. Start with `torchrun --nnodes 2 --nproc-per-node 3`, or set --devices (a machine) "
            "and --nodes to what was started.",
        ),
        (
            SLURM,
            "SLURM started 4 processes (SLURM_NTASKS), but 3 devices on each of 2 machines take "
            "6. Start with `srun --nodes 2 --ntasks-per-node 3`, or set --devices (a machine) and "
            "--nodes to what was started.",
        ),
    ],
)
def test_another_number_of_processes(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GeosetError) as error:
        start_processes("cpu", 3, 2, "32-true")
    assert str(error.value) == message


def test_one_device_of_four_tasks_is_no_run_of_its_own(monkeypatch):
    """Four processes would each train alone, and write to the same folder."""
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GeosetError, match=r"SLURM started 4 processes .* but 1 devices"):
        start_processes("cpu", 1, 1, "32-true")


def test_a_single_task_of_slurm(monkeypatch):
    for name, value in (SLURM | {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"}).items():
        monkeypatch.setenv(name, value)
    assert start_processes("cpu", 1, 1, "32-true").world_size == 1


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (("abacus", 1, 1, "32-true"), "invalid accelerator name: `accelerator='abacus'`"),
        (("cpu", 1, 1, "7-mixed"), "Precision '7-mixed' is invalid"),
        (("cuda", 4096, 1, "32-true"), "CUDA"),
    ],
)
def test_devices_that_are_not_there(asked, reason):
    with pytest.raises(GeosetError) as error:
        start_processes(*asked)
    text = str(error.value)
    assert text.startswith(
        f"cannot start with accelerator {asked[0]}, devices {asked[1]}, nodes 1, precision "
        f"{asked[3]}: "
    )
    assert reason in text
    assert text.endswith("Choose others with --accelerator, --devices, --nodes, --precision.")


@pytest.mark.slow
def test_twenty_runs_of_twenty_exit_cleanly(whole, tmp_path):
    for number in range(20):
        run = tmp_path / str(number)
        assert torchrun(run) == 0
        assert_same_run(run, whole)
