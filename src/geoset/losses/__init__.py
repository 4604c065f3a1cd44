"""Losses of pre-training: functions of tensors that return the loss and what to log beside it."""

from geoset.losses.depth import DepthLoss, depth_loss
from geoset.losses.pixel import PixelMatches, ViewLoss, match_pixels, pixel_info_nce, view_loss
from geoset.losses.point import PointLoss, point_info_nce
from geoset.losses.set_matches import SetMatches, find_set_matches
from geoset.losses.sets import SetLoss, matched_set_loss, set_info_nce

__all__ = [
    "DepthLoss",
    "PixelMatches",
    "PointLoss",
    "SetLoss",
    "SetMatches",
    "ViewLoss",
    "depth_loss",
    "find_set_matches",
    "match_pixels",
    "matched_set_loss",
    "pixel_info_nce",
    "point_info_nce",
    "set_info_nce",
    "view_loss",
]
