import json
from collections import deque
from contextlib import closing

import pytest

from geoset import GeosetError
from geoset.training.log import RunLog, Step, progress_line, read_log


def step(number: int, **changes) -> Step:
    terms = {"loss": 0.5 / number}
    return Step(number, 9, "view", number, 4, terms, 0.1, 8, 0.5, 2.0)._replace(**changes)


def write(run, numbers, done=0):
    with closing(RunLog(run, done, tensorboard=False)) as log:
        for number in numbers:
            log.write(step(number))


def test_rows_hold_the_step(tmp_path):
    write(tmp_path, [1])
    assert read_log(tmp_path) == [
        {
            "step": 1,
            "stage": "view",
            "loss": 0.5,
            "lr": 0.1,
            "frames": 8,
            "wait_s": 0.5,
            "step_s": 2.0,
        }
    ]


def test_resuming_cuts_the_rows_after_the_checkpoint(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    write(tmp_path, [3, 4, 5], done=2)
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_line_cut_short_is_cut_away(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]
    write(tmp_path, [3], done=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_garbage_after_a_power_failure_is_cut_away(tmp_path):
    write(tmp_path, [1, 2])
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(bytes(100) + b"\n")
    write(tmp_path, [3], done=2)
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3]


def test_a_term_without_value_is_null(tmp_path):
    with closing(RunLog(tmp_path, tensorboard=False)) as log:
        log.write(step(1, terms={"loss": 1.0, "similarity": float("nan")}))
    assert read_log(tmp_path)[0]["similarity"] is None


def test_tensorboard_gets_the_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for numbers, done in (([1, 2, 3], 0), ([3, 4], 2)):
        with closing(RunLog(tmp_path, done)) as log:
            for number in numbers:
                log.write(step(number))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("view/loss")] == [1, 2, 3, 4]
    assert "view/lr" in events.Tags()["scalars"]


def test_progress_line_by_hand():
    """Steps of 2 s and 4 s, 8 frames each, 0.5 s and 1 s spent waiting; 6 steps of 3 s are left.

    The first, of 60 s, started the workers, and is left out.
    """
    last = step(3, seconds=4.0, wait_seconds=1.0, terms={"chance": 6.93, "loss": 0.25})
    assert progress_line(deque([step(1, seconds=60.0), step(2), last])) == (
        "view 3/4 | loss 0.25 | ETA 0:00:18 | 2.7 frames/s | data wait 25% | lr 0.1 | chance 6.93"
    )


def test_progress_after_the_first_step():
    """8 steps of 2 s are left."""
    assert "| ETA 0:00:16 | 4.0 frames/s |" in progress_line(deque([step(1)]))


def test_steps_of_a_former_stage_do_not_count(tmp_path, capsys):
    """Steps of 2 s, then another stage whose first step takes 1 s, with 4 left."""
    with closing(RunLog(tmp_path, tensorboard=False)) as log:
        for number in (1, 2, 3, 4):
            log.write(step(number))
        log.write(step(5, stage="sets", stage_step=5, stage_steps=5, seconds=1.0))
    assert "sets 5/5 | loss 0.1 | ETA 0:00:04 | 8.0 frames/s" in capsys.readouterr().out


def test_a_resumed_run_expects_what_is_left(tmp_path, capsys):
    """After 6 of 9 steps the rest takes 3 of 2 s, when the seventh is done 2."""
    write(tmp_path, [7], done=6)
    assert "| ETA 0:00:04 |" in capsys.readouterr().out


def test_a_loss_at_chance_is_warned_of_once(tmp_path, capsys):
    """At chance from the first step on: the warning comes with step 200, resumed at 150 or not."""
    for folder, starts in (("whole", [0]), ("resumed", [0, 150]), ("later", [0, 230])):
        run = tmp_path / folder
        run.mkdir()
        for start, end in zip(starts, [*starts[1:], 300], strict=True):
            with closing(RunLog(run, start, tensorboard=False)) as log:
                for number in range(start + 1, end + 1):
                    log.write(step(number, terms={"loss": 1.0, "view/chance": 1.0}))
        printed = capsys.readouterr().out
        assert printed.count("Warning: stage 'view': over the last 100 steps view/chance") == 1
        warned = {row["step"]: row["warning"] for row in read_log(run) if "warning" in row}
        assert list(warned) == [200]
        assert "contact_sheet.png from `geoset inspect`" in warned[200]


def test_without_a_terminal_the_first_and_last_lines_of_a_stage_are_printed(tmp_path, capsys):
    write(tmp_path, [1, 2, 3, 4])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["view 1/4", "view 4/4"]


def refused(file):
    """The error that a file of the log cannot be written."""
    return pytest.raises(
        GeosetError,
        match=rf"{file}: cannot be written \(.+\)\. Checkpoints are unchanged; make room, then run "
        "the same command with --resume",
    )


def test_a_full_disk_ends_the_log_and_keeps_its_rows(tmp_path, limit_file_size):
    """A row has about 100 bytes."""
    with closing(RunLog(tmp_path, tensorboard=False)) as log:
        log.write(step(1))
        limit_file_size(150)
        with refused("log.jsonl"):
            log.write(step(2))
    assert [row["step"] for row in read_log(tmp_path)] == [1]


# TensorBoard writes in a thread, which says so itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_shows_in_tensorboard_when_the_log_is_synced(tmp_path, limit_file_size):
    """The name of a stage of 400 letters comes once in a row, and in both of its scalars."""
    with closing(RunLog(tmp_path)) as log:
        limit_file_size(600)
        log.write(step(1, stage="view" * 100))
        with refused("tensorboard"):
            log.sync()
    assert len(read_log(tmp_path)) == 1


@pytest.mark.parametrize("file", ["log.jsonl", "tensorboard"])
def test_files_that_cannot_be_opened(tmp_path, file):
    """A folder is where the log would be, a file where TensorBoard's folder would be."""
    (tmp_path / "log.jsonl").mkdir() if file == "log.jsonl" else (tmp_path / file).touch()
    with refused(file):
        RunLog(tmp_path)
