"""How long a training is: its steps, or else its epochs."""

from dataclasses import replace
from typing import Protocol, TypeVar

from geoset.recipes.checks import require


class Length(Protocol):
    """Settings, a dataclass, of a training whose steps count before its epochs."""

    steps: int | None
    epochs: float | None


Settings = TypeVar("Settings", bound=Length)


def require_length(settings: Length, of: str = "") -> None:
    """Check that there is one of them, above 0; `of` begins the error.

    Raises:
        GeosetError: there is not.
    """
    length = settings.epochs if settings.steps is None else settings.steps
    found = f"{of}steps is {settings.steps}, epochs is {settings.epochs}"
    require(length is not None and length > 0, found, "one of them, above 0")


def steps_of(settings: Length, steps_per_epoch: int) -> int:
    """Return the steps to take."""
    return settings.steps or max(1, round(settings.epochs * steps_per_epoch))


def in_epochs(settings: Settings) -> Settings:
    """Return settings that count epochs: steps, which a recipe may have, would cut them short."""
    return replace(settings, steps=None, epochs=settings.epochs or 1)
