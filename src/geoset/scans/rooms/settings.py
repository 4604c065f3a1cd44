"""What kinds of things stand in a room, and what can be chosen about rooms and their pictures."""

from dataclasses import dataclass

from geoset.errors import GeosetError

ROOM_CLASSES: tuple[str, ...] = (
    "wall",
    "floor",
    "ceiling",
    "door",
    "window",
    "picture",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "bookshelf",
    "counter",
    "lamp",
    "object",
)
"""Class names; the id in label images is the position here plus one, 0 is "none"."""

FLUSH_CLASSES: tuple[str, ...] = ("door", "window", "picture")
"""Classes that stand out from their wall by less than 1 cm: only colour shows them."""


@dataclass(frozen=True)
class RoomSettings:
    """Choices for `write_room`; everything else follows from the seed.

    frames: images a room
    height, width: size of colour, depth and label images, pixels
    fov: horizontal field of view, (least, most) degrees; drawn once a room
    furniture: pieces tried a room, (fewest, most); chairs at tables and things lying about come
        on top. (0, 0) leaves the shell with its doors, windows and pictures.
    typical_style: probability that a thing looks the way its class usually does, 0 to 1
    image_noise: standard deviation of the colour noise, as a part of full scale
    depth_noise: standard deviation of depth at 1 m, metres; it grows with depth squared
    depth_range: (nearest, farthest) depth the sensor reports, metres
    holes: whether depth is missing at edges, grazing angles, on glass and in random blobs
    """

    frames: int = 20
    height: int = 96
    width: int = 128
    fov: tuple[float, float] = (60.0, 65.0)
    furniture: tuple[int, int] = (8, 16)
    typical_style: float = 0.6
    image_noise: float = 0.01
    depth_noise: float = 0.0007
    depth_range: tuple[float, float] = (0.4, 5.0)
    holes: bool = True

    def __post_init__(self):
        """Raise GeosetError for a value that makes no room."""
        for name in ("frames", "height", "width"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        self._require("fov", 10 <= self.fov[0] <= self.fov[1] <= 120, "10 <= least <= most <= 120")
        self._require(
            "furniture", 0 <= self.furniture[0] <= self.furniture[1], "0 <= fewest <= most"
        )
        self._require("typical_style", 0 <= self.typical_style <= 1, "a probability, 0 to 1")
        for name in ("image_noise", "depth_noise"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        near, far = self.depth_range
        self._require("depth_range", 0 <= near < far <= 65, "0 <= nearest < farthest <= 65 m")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise GeosetError(
                f"RoomSettings: {name} is {getattr(self, name)}, expected {expected}; "
                "change it or leave it out to take the default"
            )
