"""Losses of pre-training: functions of tensors that return the loss and what to log beside it."""

from geoset.losses.pixel import PixelMatches, ViewLoss, match_pixels, pixel_info_nce, view_loss
from geoset.losses.set_matches import SetMatches, find_set_matches
from geoset.losses.sets import SetLoss, matched_set_loss, set_info_nce

__all__ = [
    "PixelMatches",
    "SetLoss",
    "SetMatches",
    "ViewLoss",
    "find_set_matches",
    "match_pixels",
    "matched_set_loss",
    "pixel_info_nce",
    "set_info_nce",
    "view_loss",
]
