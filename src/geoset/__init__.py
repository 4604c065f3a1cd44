"""geoset: RGB-D scans in, pre-trained image encoders out."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from geoset.errors import GeosetError

__version__ = version("geoset")

# Public names and where they live; imported on first use, because torch takes seconds to load.
_PUBLIC = {
    "PreparedScene": "geoset.prepare.scene",
    "ResUNet": "geoset.models.resunet",
    "load_model": "geoset.models.load",
    "losses": "geoset.losses",
    "open_scan": "geoset.scans.detect",
    "oversegment": "geoset.geometry.oversegment",
}

__all__ = ["GeosetError", "__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'geoset' has no attribute '{name}'")
    module = import_module(_PUBLIC[name])
    return module if _PUBLIC[name] == f"geoset.{name}" else getattr(module, name)
