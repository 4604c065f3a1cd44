"""Write docs/results.md from docs/results/: `python docs/make_results.py [--take FOLDER]`.

With `--take`, the tables that `geoset reproduce` has made in FOLDER are copied there first, with
their charts, and the pictures of those named as JPEG. A table that is there with other seeds keeps
these, and its pictures, and gains the seeds of FOLDER. Of a table of one seed the page says only
what it scored and at what cost; the rest is in its JSON.
"""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from PIL import Image

from geoset.recipes.tables import TABLES
from geoset.tasks.reproduce.charts import Chart, charts
from geoset.tasks.reproduce.join import join, seeds_of
from geoset.tasks.reproduce.page import CAPTIONS
from geoset.tasks.reproduce.sections import as_markdown, sections

DOCS = Path(__file__).parent
WIDEST = 1600  # pixels of a picture
INTRODUCTION = """# Results

Tables of `geoset reproduce`, on the built-in rooms unless one says otherwise: made up from fixed
seeds, so that everybody can check them. The command stands at the end of each. How to read them:
[Reproduce](reproduce.md#read-the-result). This page is written from the JSON beside it by
`python docs/make_results.py`. A table of one seed says what was scored, and settles nothing: seeds
differ by as much as methods do.
"""
ONE_SEED = (
    "What came out",
    "Scores",
    "Equal steps, equal compute",
    "How it was made",
)  # sections of a table without intervals


def main() -> None:
    """Take tables over, if any are named, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="--out of geoset reproduce")
    parser.add_argument(
        "--pictures", nargs="*", default=["benchmark"], metavar="TABLE", help="take theirs, too"
    )
    parser.add_argument("--hours", type=float, help="that the command took by the clock")
    options = parser.parse_args()
    if options.take:
        take(options.take, DOCS / "results", options.pictures, options.hours)
    (DOCS / "results.md").write_text(page(DOCS / "results"))


def take(
    source: Path, results: Path, pictures: Collection[str], hours: float | None = None
) -> None:
    """Take tables over from a folder of `geoset reproduce`, with charts, some with pictures."""
    results.mkdir(exist_ok=True)
    for path in sorted(source.glob("table-*.json")):
        found = json.loads(path.read_text())
        if hours is not None:
            found["made"]["hours"] = hours
        target = results / path.name
        before = json.loads(target.read_text()) if target.is_file() else None
        if before and seeds_of(found) < seeds_of(before):
            continue
        if before and not seeds_of(before) <= seeds_of(found):
            found = join(before, found)
        elif found["table"] in pictures:
            take_pictures(source, results, path.stem)
        target.write_text(json.dumps(found, indent=1) + "\n")
        for kind, chart in drawings(found).items():
            (results / f"{path.stem}-{kind}.svg").write_text(chart.svg)


def take_pictures(source: Path, results: Path, stem: str) -> None:
    """Take over the pictures of a table, as JPEG."""
    for kind in CAPTIONS:
        picture = source / f"{stem}-{kind}.png"
        if picture.is_file():
            image = Image.open(picture).convert("RGB")
            image.thumbnail((WIDEST, image.height))
            image.save(results / f"{stem}-{kind}.jpg", quality=85, optimize=True)


def page(results: Path) -> str:
    """Return the page that the tables of a folder make."""
    tables = [json.loads(path.read_text()) for path in sorted(results.glob("table-*.json"))]
    order = ["benchmark", *TABLES]
    tables.sort(key=lambda found: order.index(found["table"]))
    there = {found["table"] for found in tables}
    missing = ", ".join(name for name in TABLES if name not in {*there, "demo"})
    parts = [INTRODUCTION, f"Tables that have not been run: {missing}.\n"]
    return "\n".join([*parts, *(table(found, results) for found in tables)])


def drawings(found: dict[str, Any]) -> dict[str, Chart]:
    """Return the charts of a table; of one seed, differences have no intervals to draw."""
    found_charts = charts(found)
    if len(seeds_of(found)) == 1:
        found_charts.pop("differences", None)
    return found_charts


def table(found: dict[str, Any], results: Path) -> str:
    """Return what the page says of a table."""
    stem, parts = f"table-{found['table']}", sections(found)
    if len(seeds_of(found)) == 1:
        parts = [part for part in parts if part[0] in ONE_SEED]
    drawn = [
        shown(f"{stem}-{kind}.svg", drawing.caption) for kind, drawing in drawings(found).items()
    ]
    pictures = [
        (heading, [shown(f"{stem}-{kind}.jpg", caption)])
        for kind, (heading, caption) in CAPTIONS.items()
        if (results / f"{stem}-{kind}.jpg").is_file()
    ]
    (first, answer), *between, provenance = parts
    parts = [(first, [*answer, *drawn]), *between, *pictures, provenance]
    return (
        as_markdown(found, parts, level=2) + f"\nAll figures: [{stem}.json](results/{stem}.json)\n"
    )


def shown(name: str, caption: str) -> str:
    """Return a picture and what it shows."""
    return f"![{caption}](results/{name})\n\n*{caption}*"


if __name__ == "__main__":
    main()
