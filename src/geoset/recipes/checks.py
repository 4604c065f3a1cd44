"""What every settings object checks its values with."""

from geoset.errors import GeosetError


def require(condition: bool, found: str, expected: str) -> None:
    """Raise GeosetError, saying what was found and what is expected, unless `condition`."""
    if not condition:
        raise GeosetError(f"{found}, expected {expected}")
