"""Losses of pre-training: functions of tensors that return the loss and what to log beside it."""

from geoset.losses.pixel import PixelMatches, ViewLoss, match_pixels, pixel_info_nce, view_loss
from geoset.losses.sets import SetLoss, set_info_nce

__all__ = [
    "PixelMatches",
    "SetLoss",
    "ViewLoss",
    "match_pixels",
    "pixel_info_nce",
    "set_info_nce",
    "view_loss",
]
