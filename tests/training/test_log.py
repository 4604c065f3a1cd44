import json
from collections import deque

from geoset.training.log import RunLog, Step, progress_line, read_log


def step(number: int, **changes) -> Step:
    terms = {"loss": 0.5 / number}
    return Step(number, 9, "view", number, 4, terms, 0.1, 8, 0.5, 2.0)._replace(**changes)


def write(run, numbers, done=0):
    with RunLog(run, done, tensorboard=False) as log:
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
    with RunLog(tmp_path, tensorboard=False) as log:
        log.write(step(1, terms={"loss": 1.0, "similarity": float("nan")}))
    assert read_log(tmp_path)[0]["similarity"] is None


def test_tensorboard_gets_the_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for numbers, done in (([1, 2, 3], 0), ([3, 4], 2)):
        with RunLog(tmp_path, done) as log:
            for number in numbers:
                log.write(step(number))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("view/loss")] == [1, 2, 3, 4]
    assert "view/lr" in events.Tags()["scalars"]


def test_progress_line_by_hand():
    """Steps of 2 s and 4 s, 8 frames each, 0.5 s and 1 s spent waiting; 7 steps of 3 s left."""
    last = step(2, seconds=4.0, wait_seconds=1.0, terms={"chance": 6.93, "loss": 0.25})
    assert progress_line(deque([step(1), last])) == (
        "view 2/4 | loss 0.25 | ETA 0:00:21 | 2.7 frames/s | data wait 25% | lr 0.1 | chance 6.93"
    )


def test_without_a_terminal_the_first_and_last_lines_of_a_stage_are_printed(tmp_path, capsys):
    write(tmp_path, [1, 2, 3, 4])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["view 1/4", "view 4/4"]
