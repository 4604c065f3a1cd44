"""Tables of frozen features, in Markdown."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from geoset.reports.tables import markdown_table, percent

MATCH_NOTE = (
    "A match: a pixel of one frame, and where depth and pose say that its point is in another "
    "(differences in depth up to 5 cm). Found: the nearest feature by cosine among all cells of "
    "the other frame. Recall in %, within {pixels} pixels of the stored size, by the angle at the "
    "point between the directions to the two cameras. Frames: {frames}; the second column says "
    "whether the model's run trained on them, or held them out."
)
PROBE_NOTE = (
    "On frozen features: one linear layer, and the votes of the 20 nearest labelled cells "
    "(cosine, weights exp(s/0.07)). mIoU and pixel accuracy in %, one confusion matrix over all "
    "test images, classes that occur nowhere left out. Fitted on {train}; scored on {test}."
)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables of what `evaluate_frozen` found."""
    parts = ["# Frozen features", _models(results)]
    if "correspondence" in results:
        found = results["correspondence"]
        pixels = " / ".join(map(str, found["pixels"]))
        note = MATCH_NOTE.format(pixels=pixels, frames=found["frames"])
        parts += ["## Matches between views", note]
        for name, of_scene in found["scenes"].items():
            parts += [_scene_heading(name, of_scene), _match_table(found["angles"], of_scene)]
        parts += [f"Left out: {reason}" for reason in found["skipped"]]
    if "segmentation" in results:
        found = results["segmentation"]
        note = PROBE_NOTE.format(train=found["train"], test=found["test"])
        parts += ["## Classes", note, _probe_table(found["rows"])]
    return "\n\n".join(parts) + "\n"


def _models(results: Mapping[str, Any]) -> str:
    lines = [f"- {name}: `{path}`" for name, path in results["models"].items()]
    basis = f"geoset {results['geoset']}, seed {results['seed']}, layer {results['layer']}"
    basis += " unless a row names another; BatchNorm statistics estimated alike for all models."
    return "\n".join([*lines, "", basis])


def _scene_heading(name: str, of_scene: Mapping[str, Any]) -> str:
    height, width = of_scene["image_size"]
    return f"### {name}, {height}x{width} pixels"


def _match_table(angles: Sequence[int], of_scene: Mapping[str, Any]) -> str:
    bins = [f"{low}-{high}°" for low, high in itertools.pairwise(angles)]
    rows = [
        [name, row.get("frames", ""), *(_shares(shares) for shares in row["recall"])]
        for name, row in of_scene["rows"].items()
    ]
    counts = zip(of_scene["matches"], of_scene["pairs"], strict=True)
    rows.append(["matches (pairs of frames)", "", *(f"{n} ({pairs})" for n, pairs in counts)])
    return markdown_table(["features", "these frames", *bins, "all"], rows)


def _shares(shares: Sequence[float | None]) -> str:
    return " / ".join(map(percent, shares))


def _probe_table(rows: Mapping[str, Any]) -> str:
    probes, keys = ("linear", "neighbours"), ("miou", "pixel_accuracy")
    lines = [
        [name, *(percent(row.get(probe, {}).get(key)) for probe in probes for key in keys)]
        for name, row in rows.items()
    ]
    headings = [
        "linear, mIoU",
        "linear, accuracy",
        "20 neighbours, mIoU",
        "20 neighbours, accuracy",
    ]
    return markdown_table(["features", *headings], lines)
