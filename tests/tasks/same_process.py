"""Stand-ins for processes that take longer to start than their work takes."""

from torch.utils.data import DataLoader

from geoset.data import loading
from geoset.tasks.reproduce import run as reproduce_run


class SameProcess:
    """Does in this process what an `IsolatedProcess` does in its own."""

    def call(self, function, argument):
        return function(argument)

    def ask_to_end(self):
        """Nothing: no signal reaches the work."""

    def close(self):
        """Nothing is left over."""


class SameProcessLoader(DataLoader):
    """Loads in this process. A worker that is started from a thread reports its end to another."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "num_workers": 0})


def run_in_this_process(patch):
    """Let runs of tables start no processes."""
    patch.setattr(reproduce_run, "IsolatedProcess", SameProcess)
    patch.setattr(loading, "DataLoader", SameProcessLoader)
