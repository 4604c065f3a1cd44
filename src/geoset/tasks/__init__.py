"""Whole jobs, one a command: the only place that joins data, models, losses and training."""
