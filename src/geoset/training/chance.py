"""Noticing a loss that stays at chance."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

FIRST_STEP = 200  # before it, a loss may still be on its way
WINDOW = 100
LIMIT = 0.98


def stays_at_chance(course: Sequence[float]) -> bool:
    """Return whether a loss has not come down, given its values step by step relative to chance.

    1 is the loss of a network that knows nothing. True from the 200th value on, where the mean of
    the last 100 is above 0.98.
    """
    return len(course) >= FIRST_STEP and sum(course[-WINDOW:]) / WINDOW > LIMIT


class ChanceWatch:
    """Warns once a stage of a term named `.../chance` that stays there."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._warned = False
        self._courses: dict[str, list[float]] = defaultdict(list)

    def see(self, stage: str, terms: Mapping[str, float | None]) -> str | None:
        """Take in the terms of one more step, None where one has no value; return a warning."""
        if stage != self._stage:
            self._stage, self._warned = stage, False
            self._courses.clear()
        for name, value in terms.items():
            if name.endswith("/chance") and value is not None:
                self._courses[name].append(value)
        stuck = [name for name, course in self._courses.items() if stays_at_chance(course)]
        if self._warned or not stuck:
            return None
        self._warned = True
        return (
            f"stage '{stage}': over the last {WINDOW} steps {stuck[0]} has a mean above {LIMIT}, "
            "where 1 is the loss of a network that knows nothing. Look whether the sets and "
            "matches are right: contact_sheet.png from `geoset inspect` of the prepared scenes. "
            "If they are, start again with a lower learning rate or a longer warm-up."
        )
