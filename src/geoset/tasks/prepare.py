"""Prepare many scans: each on its own, none at the cost of the others."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from geoset.errors import GeosetError
from geoset.prepare.data_set import write_index
from geoset.prepare.finished import OutdatedError, check_finished
from geoset.prepare.run import refuse_inside
from geoset.prepare.storage import Folder, LocalFolder, RemoteFolder, is_url, open_folder
from geoset.recipes import PrepareSettings
from geoset.scans.detect import find_scans
from geoset.scans.scan import scan_name
from geoset.scans.splits import Split
from geoset.tasks.attempt import FAILED, FINISHED, Outcome, attempt, death, failure
from geoset.tasks.engines import Engine, Show, Work, do_each
from geoset.tasks.isolated import ProcessDiedError
from geoset.tasks.prepare_progress import PrepareProgress
from geoset.tasks.prepare_report import PrepareSummary, report_of
from geoset.tasks.prepare_summary import print_summary

CHECKS_AT_ONCE = 16  # they mostly wait for the file system


def prepare(
    scans: Path,
    out: str | Path,
    settings: PrepareSettings | None = None,
    workers: int = 1,
    console: Console | None = None,
    *,
    engine: str = "local",
    address: str | None = None,
    shard: str | None = None,
    split: Split = "train",
    split_list: Path | None = None,
) -> PrepareSummary:
    """Prepare a scan, or every scan in a folder, into `out`/<scan name>.

    Finished scenes are skipped unless outdated. A scan that fails, or whose worker dies, is
    reported and the others go on: its traceback is in `out`/failed, `out`/report.json tells of all.

    Args:
        scans: a scan, or a folder of scans
        out: folder for the prepared scenes, or its URL
        settings: how scans are prepared
        workers: scans prepared at the same time
        console: where progress and summary go; none = stderr
        engine: where they are prepared: local, dask or ray
        address: of a running Dask or Ray cluster; none = one is started here
        shard: "i/n" takes the i-th of n parts; other parts may go into `out` at the same time
        split: of ScanNet
        split_list: a file of names of scans to take

    Raises:
        GeosetError: `scans` holds no scan, `out` is where one lies, every one of them failed, or
            there is no such engine.
    """
    settings, console = settings or PrepareSettings(), console or Console(stderr=True)
    where, (number, parts) = Engine(engine, workers, address), _shard(shard)
    found = find_scans(scans, split, split_list)
    paths = [path.absolute() for path in found.scans][number - 1 :: parts]
    out = open_folder(out if is_url(out) else Path(out).absolute())
    if isinstance(out, LocalFolder):
        for path in paths:
            refuse_inside(path, out.path)
    name = f"report-{number}-of-{parts}.json" if shard else "report.json"
    former = _seconds_in(out, name)
    if isinstance(out, RemoteFolder):
        out.remove(name)  # what may not be written shows before hours of work
    outcomes, missing, outdated = _sort_out(paths, out, settings)
    if len(found.scans) > 1:
        part = f" (part {shard})" if shard else ""
        console.print(f"{len(paths)} scans{part}, {len(missing)} to prepare", highlight=False)
    work = partial(attempt, out=out, settings=settings)
    with PrepareProgress(console, len(missing)) as progress:
        for outcome in _prepare_each(missing, len(paths) == 1, work, where, progress.show):
            outcomes.append(outcome)
            progress.settle(outcome.scan)
            _keep_details(outcome, out)
    summary = PrepareSummary(sorted(outcomes, key=lambda outcome: outcome.scene), outdated)
    run = {"engine": engine, "workers": workers, "shard": shard}
    report = report_of(summary, settings, run, former)
    with suppress(GeosetError), out.writing(name) as temporary:  # a full disk: the summary tells
        temporary.write_text(json.dumps(report, indent=1))
    if len(paths) == len(summary.failed) == 1:
        raise GeosetError(summary.failed[0].error)
    print_summary(summary, found, out, console)
    write_index(out)
    if paths and len(summary.failed) == len(paths):
        raise GeosetError(f"{scans}: no scan could be prepared; the reasons stand above")
    return summary


def _seconds_in(out: Folder, name: str) -> dict[str, float | None]:
    """Return what preparing took, by scene, in a former report; nothing without a whole one."""
    try:
        scenes = json.loads(out.read_text(name))["scenes"]
        return {scene["scene"]: scene["seconds"] for scene in scenes}
    except (OSError, ValueError, KeyError, TypeError, GeosetError):
        return {}


def _shard(text: str | None) -> tuple[int, int]:
    """Read "3/10", the third of ten parts."""
    match = re.fullmatch(r"(\d+)/(\d+)", text or "1/1")
    number, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= parts:
        raise GeosetError(
            f"shard is '{text}', expected i/n with i from 1 to n, such as 3/10 for the third of "
            "ten parts"
        )
    return number, parts


def _sort_out(
    paths: list[Path], out: Folder, settings: PrepareSettings
) -> tuple[list[Outcome], list[Path], Counter[str]]:
    """Return what is known already, the scans to prepare, and why finished ones are outdated."""
    wanted = json.loads(json.dumps(asdict(settings)))
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as threads:
        checked = list(threads.map(partial(_check, out=out, wanted=wanted), paths))
    outcomes = [known for known in checked if isinstance(known, Outcome)]
    failed_before = {f"failed/{name}" for name in out.names("failed")}
    for outcome in outcomes:
        if outcome.status == FAILED or outcome.details_file in failed_before:
            _keep_details(outcome, out)
    missing = [p for p, known in zip(paths, checked, strict=True) if not isinstance(known, Outcome)]
    return outcomes, missing, Counter(known for known in checked if isinstance(known, str))


def _check(scan: Path, out: Folder, wanted: dict) -> Outcome | str | None:
    """Return what is known of a scan without preparing it: an outcome, why it is outdated, None."""
    name = scan_name(scan)
    try:
        if out.exists(f"{name}/scene.json"):
            return Outcome(scan, FINISHED, info=check_finished(out.place(name), scan, wanted))
    except OutdatedError as error:
        return error.reason
    except GeosetError as error:
        return failure(scan, error)
    return None


def _prepare_each(
    scans: list[Path], in_this_process: bool, work: Work, engine: Engine, show: Show
) -> Iterator[Outcome]:
    """Yield outcomes as they come. If a worker dies, its scan is tried once more, alone."""
    if in_this_process or not scans:
        yield from (work(scan, partial(show, scan)) for scan in scans)
        return
    with engine.open() as slots:
        again = []
        for scan, result in do_each(work, scans, slots, show):
            if isinstance(result, ProcessDiedError):
                again.append(scan)
            else:
                yield result
        for scan, result in do_each(work, again, slots._replace(count=1), show):
            outcome = death(scan, result) if isinstance(result, ProcessDiedError) else result
            outcome.tried_again = True
            yield outcome


def _keep_details(outcome: Outcome, out: Folder) -> None:
    """Write why a scan failed; a scan that did not fail has no such file any more."""
    if outcome.status != FAILED:
        out.remove(outcome.details_file)
        return
    # On a full disk the summary still tells.
    with suppress(GeosetError), out.writing(outcome.details_file) as temporary:
        temporary.write_text(outcome.details)
