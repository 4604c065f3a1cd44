"""The training engine: loop, schedules, checkpoints, log. Knows no data, model or loss."""
