"""Work that ends the process it is done in; in a module that any process can import."""

import ctypes
import os
import signal
import sys
import time


def nothing(*_):
    pass


def who(item, show=nothing):
    """Return the item, the process, and its number of threads."""
    return item, os.getpid(), os.environ["OMP_NUM_THREADS"]


def count_aloud(item, show=nothing):
    """Show steps, and print to where results go."""
    for done in range(item):
        show("steps", done, item)
        print("printed", flush=True)
    os.system("echo printed")
    return "counted"


def die(how, show=nothing):
    """Die in one of many ways."""
    print("last words", file=sys.stderr, flush=True)
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "exception":
        raise RuntimeError("not caught")
    elif how == "unpicklable":
        return lambda: None
    os.kill(os.getpid(), signal.Signals[how])


def sleep(seconds, show=nothing):
    time.sleep(seconds)


def double_or_die(item, show=nothing):
    """Double a number; die at 3."""
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def attempt_or_die(scan, show=nothing, *, out, settings):
    """Prepare a scan; die on one named "deadly", and on one named "once" at the first time."""
    met = out.path / "met"
    first_time = not met.exists()
    if scan.name == "once":
        met.parent.mkdir(exist_ok=True)
        met.touch()
    if scan.name == "deadly" or (scan.name == "once" and first_time):
        os.kill(os.getpid(), signal.SIGKILL)
    from geoset.tasks.attempt import attempt  # slow, and not needed by the others

    return attempt(scan, show, out=out, settings=settings)
