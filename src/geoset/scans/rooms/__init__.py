"""Procedural rooms: labelled RGB-D scans for demonstrations and tests, made from a seed."""

from geoset.scans.rooms.settings import FLUSH_CLASSES, ROOM_CLASSES, RoomSettings
from geoset.scans.rooms.write import write_room

__all__ = ["FLUSH_CLASSES", "ROOM_CLASSES", "RoomSettings", "write_room"]
