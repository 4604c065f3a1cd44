"""Learning rates of pre-training at the small scale: which is best for each training?

    python benchmarks/rates.py OUT [--seeds 100 101] [--methods view_sets] [--workers 2]

First trainings at each rate; then, from the weights of the best, those that follow them at each. A
rate is as good as the frozen probe, fitted on the labelled rooms and scored on those for tuning:
neither the rooms that tables are scored on nor the seeds of their runs play a part. OUT keeps the
runs, and `rates.json` with what was found; a command that was stopped goes on.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from inputs import machine
from rich.console import Console

from geoset.errors import GeosetError
from geoset.files import atomic_write
from geoset.recipes.methods import METHODS
from geoset.recipes.reproduce import ReproduceSettings
from geoset.recipes.tables import TABLES, Task
from geoset.tasks.reproduce.data import Sources, benchmark, make_rooms, make_scenes
from geoset.tasks.reproduce.jobs import SCORE, Encoder, Score, is_done
from geoset.tasks.reproduce.run import run_all
from geoset.tasks.reproduce.shared_settings import check_settings, keep_settings, shared_settings

RATES = (5e-4, 1e-3, 2e-3, 4e-3)
FIRST_SEED = 100  # tables count theirs from 0
DEFAULT = [row for row in TABLES["benchmark"].rows if METHODS[row].trainings]
CHOICES = [*dict.fromkeys((*DEFAULT, *TABLES["ablations"].rows[1:]))]
Found = dict[float, dict[int, float]]  # mIoU by rate and seed


@dataclass(frozen=True)
class Search:
    """Where rates are searched for, and with what."""

    out: Path
    sources: Sources
    settings: ReproduceSettings
    seeds: Sequence[int]
    rates: Sequence[float]

    def scores(self, after: Mapping[str, tuple[float, ...]]) -> dict[str, Found]:
        """Score one training of each method at all rates, those before it at the ones given."""
        scores = {
            (method, rate, seed): Score(
                Task("probe"),
                Encoder(method, len(before) + 1, "small", seed, rates=(*before, rate)),
            )
            for seed in self.seeds
            for method, before in after.items()
            for rate in self.rates
        }
        jobs = [job for score in scores.values() for job in (score.encoder, score)]
        console = Console(stderr=True)
        for job, error in run_all(jobs, self.out, self.sources, self.settings, console):
            console.print(f"failed: {job.folder(self.out)}: {error}", markup=False)
        found: dict[str, Found] = {method: {rate: {} for rate in self.rates} for method in after}
        for (method, rate, seed), job in scores.items():
            if is_done(job, self.out):
                text = (job.folder(self.out) / SCORE).read_text()
                found[method][rate][seed] = json.loads(text)["scores"]["miou"]
        return found


def mean(scores: Mapping[int, float]) -> float:
    """Return the mean over seeds; the least of all where no run ended."""
    return sum(scores.values()) / len(scores) if scores else float("-inf")


def best_of(found: Found) -> float:
    return max(found, key=lambda rate: mean(found[rate]))


def markdown(found: Mapping[str, Found], rates: Sequence[float], seeds: Sequence[int]) -> str:
    """Return the table, a training a row."""
    lines = [
        "Frozen probe on the rooms for tuning, mIoU in %, mean of seeds "
        f"{', '.join(map(str, seeds))}; the best rate in bold.",
        "",
        f"| training | {' | '.join(f'{rate:g}' for rate in rates)} | |",
        f"|---|{'---:|' * len(rates)}---|",
    ]
    for name, of_rates in found.items():
        best = best_of(of_rates)
        texts = [f"{mean(scores):.1f}" if scores else "failed" for scores in of_rates.values()]
        texts[rates.index(best)] = f"**{texts[rates.index(best)]}**"
        at_end = "best at the end of the grid" if best in (rates[0], rates[-1]) else ""
        lines.append(f"| {name} | {' | '.join(texts)} | {at_end} |")
    return "\n".join(lines) + "\n"


def search_rates(search: Search, methods: Sequence[str]) -> dict[str, Found]:
    """Return the scores of every training, by its name and that of the one before it."""
    first: dict[str, str] = {}
    for method in methods:
        first.setdefault(METHODS[method].trainings[0].name, method)
    of_first = search.scores(dict.fromkeys(first.values(), ()))
    found = {name: of_first[method] for name, method in first.items()}
    after = {}
    for method in methods:
        if len(METHODS[method].trainings) > 1:
            before = METHODS[method].trainings[0].name
            best = best_of(found[before])
            if not found[before][best]:
                raise GeosetError(f"{search.out}: no {before} ended; the reasons stand above")
            after[method] = (best,)
    for method, scores in search.scores(after).items():
        before, training = METHODS[method].trainings
        found[f"{before.name} at {after[method][0]:g}, then {training.name}"] = scores
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[FIRST_SEED])
    parser.add_argument("--methods", nargs="+", choices=CHOICES, default=DEFAULT)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time")
    parser.add_argument("--pretrain-steps", type=int, help="of each stage, instead of the scale's")
    parser.add_argument("--write", type=Path, help="file for the table, as Markdown")
    arguments = parser.parse_args()
    if min(arguments.seeds) < FIRST_SEED:
        parser.error(f"tables use seeds from 0 on: give seeds from {FIRST_SEED} on")
    out, rates = arguments.out, sorted(set(arguments.rates))
    settings = ReproduceSettings(workers=arguments.workers, pretrain_steps=arguments.pretrain_steps)
    shared = shared_settings(settings, None) | {"data": "rooms for tuning"}
    check_settings(out, shared)
    keep_settings(out, shared)
    make_rooms(out / "rooms", settings.rooms, settings.workers)
    sources = benchmark(out / "rooms", scored="tuning")
    trainings = [METHODS[method].trainings[-1] for method in arguments.methods]
    make_scenes(sources, trainings, settings.workers)
    search = Search(out, sources, settings, arguments.seeds, rates)
    found = search_rates(search, arguments.methods)
    best = {name: best_of(of_rates) for name, of_rates in found.items()}
    atomic_write(
        out / "rates.json",
        json.dumps({"settings": shared, "scores": found, "best": best}, indent=1) + "\n",
    )
    text = f"{markdown(found, rates, arguments.seeds)}\n{machine()}, torch {torch.__version__}\n"
    print(text)
    if arguments.write:
        atomic_write(arguments.write, text)


if __name__ == "__main__":
    main()
