"""What is in labelled data, before long work with it."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from geoset.data.label_set import LabelSource
from geoset.spacing import evenly_spaced


@dataclass(frozen=True)
class LabelSummary:
    """Counts over the images looked at.

    images: in the set; looked_at: of these, spread evenly
    pixels: of each class; ignored: pixels of none, those of unknown ids included
    instances: of each instance class
    unknown: pixels of each id that the layout does not know
    skipped: images, scenes and annotations left out of the set, by reason
    """

    name: str
    images: int
    looked_at: int
    pixels: Mapping[str, int]
    ignored: int
    instances: Mapping[str, int]
    unknown: Mapping[int, int]
    skipped: Mapping[str, int]

    @property
    def absent(self) -> list[str]:
        """Classes that no pixel (in a set of instances only: no instance) looked at has."""
        return [name for name, n in (self.pixels or self.instances).items() if n == 0]

    def describe(self) -> str:
        """Return the counts as lines of text."""
        total = max(1, sum(self.pixels.values()) + self.ignored)
        seen = "" if self.looked_at == self.images else f", {self.looked_at} of them looked at"
        lines = [f"{self.name}: {self.images} images{seen}"]
        if self.pixels:
            shares = [f"{name} {n / total:.1%}" for name, n in self.pixels.items()]
            lines.append(f"pixels: {', '.join(shares)}; ignored {self.ignored / total:.1%}")
        if self.instances:
            counts = [f"{name} {n}" for name, n in self.instances.items()]
            lines.append(f"instances: {', '.join(counts)}")
        if self.absent:
            lines.append(f"absent: {', '.join(self.absent)}")
        if self.unknown:
            ids = [f"{number} ({n} pixels)" for number, n in sorted(self.unknown.items())]
            lines.append(f"unknown ids, ignored: {', '.join(ids)}")
        lines += [f"left out: {n} x {reason}" for reason, n in self.skipped.items()]
        return "\n".join(lines)


def summarise(labelled: LabelSource, most: int | None = None) -> LabelSummary:
    """Count classes, instances and unknown ids.

    Args:
        most: look at so many images, spread evenly over the set; None = all.

    Raises:
        GeosetError: a file is missing or unreadable, or does not fit its image.
    """
    chosen = evenly_spaced(len(labelled), len(labelled) if most is None else most)
    with ThreadPoolExecutor() as threads:
        counts = list(threads.map(lambda i: _count(labelled, i), chosen))
    pixels, instances, unknown = (sum(parts, Counter()) for parts in zip(*counts, strict=True))
    return LabelSummary(
        name=labelled.name,
        images=len(labelled),
        looked_at=len(chosen),
        pixels={name: pixels[k] for k, name in enumerate(labelled.classes)},
        ignored=pixels[-1],
        instances={name: instances[k] for k, name in enumerate(labelled.instance_classes)},
        unknown=dict(unknown),
        skipped=labelled.skipped,
    )


def _count(labelled: LabelSource, i: int) -> tuple[Counter, Counter, Counter]:
    """Return the pixels by class, the instances by class, the pixels by unknown id of an image."""
    pixels, instances = Counter(), Counter()
    if labelled.classes:
        classes, counts = np.unique(labelled.semantic(i), return_counts=True)
        pixels.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
    if labelled.instance_classes:
        instances.update(labelled.instances(i).labels.tolist())
    return pixels, instances, Counter(labelled.unknown_ids(i))
