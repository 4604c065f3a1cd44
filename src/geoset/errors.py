"""The one error type that bad input raises."""


class GeosetError(Exception):
    """Input that geoset cannot use. The text names it, what was expected, and what to do next."""
