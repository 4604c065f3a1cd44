"""What benchmarks run on: a folder named on the command line, or made-up rooms; and the machine."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import joblib
import numba
import numpy

from geoset.prepare.run import prepare_scene
from geoset.recipes import PrepareSettings
from geoset.scans.rooms import RoomSettings, write_room

IMAGE_SIZE = (240, 320)


def scan_or_room(arguments: Sequence[str], folder: Path, frames: int = 40) -> Path:
    """Return the scan that the first argument names, or write a room into `folder`."""
    if arguments:
        return Path(arguments[0])
    height, width = IMAGE_SIZE
    path = folder / "scans" / "room"
    write_room(path, 0, RoomSettings(frames=frames, height=height, width=width))
    return path


def prepared_or_room(arguments: Sequence[str], folder: Path) -> Path:
    """Return the prepared scenes that the first argument names, or prepare a room in `folder`."""
    if arguments:
        return Path(arguments[0])
    scan = scan_or_room((), folder, frames=16)
    prepare_scene(scan, folder / "prepared", PrepareSettings(image_size=IMAGE_SIZE))
    return folder / "prepared"


def machine() -> str:
    """Name the processor, its cores and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    load = os.getloadavg()[0]
    return (
        f"{model}, {joblib.cpu_count()} cores (load {load:.1f}), Python "
        f"{platform.python_version()}, numpy {numpy.__version__}, numba {numba.__version__}"
    )
