"""Make the tables of the paper, and of the built-in benchmark: plan, runs, results, page."""
