"""Run what is too slow for every change, and write down what came out: `.ci/run full`."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import geoset
from geoset.recipes.methods import METHODS


def main(report: Path) -> None:
    began = time.monotonic()
    said = []
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-v", "--durations=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as slow:
        for line in slow.stdout:
            print(line, end="", flush=True)
            said.append(line)
    tests = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        began = time.monotonic()
        subprocess.run(["geoset", "demo", "--out", str(out)], check=True)
        demo = time.monotonic() - began
        results = json.loads((out / "table-demo.json").read_text())
    (classes,) = results["classes"]
    rows = "\n".join(
        f"| {METHODS[row].title} | {cell['mean']:.1f} | {classes[row]['shown'][0]:.1f} "
        f"| {classes[row]['flush'][0]:.1f} |"
        for row, (cell,) in results["rows"].items()
    )
    ended = said[-1].strip("= \n")
    durations = "".join(line for line in said if "s call" in line)
    skipped = "".join(line for line in said if line.startswith("SKIPPED"))  # and why
    report.write_text(
        f"""# Last full run

Written by `.ci/run full`: {time.strftime("%Y-%m-%d")}, geoset {geoset.__version__},
Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores.

## Slow tests

{ended} ({tests:.0f} s in all)

```text
{skipped}{durations}```

## Demo

{demo:.0f} s in all. Frozen linear probe in other rooms, %, one seed:

| features | mIoU | classes geometry shows | flush classes |
|---|---|---|---|
{rows}
"""
    )
    if slow.returncode:
        raise SystemExit(slow.returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
