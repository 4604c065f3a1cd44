"""What the viewer shows and does, without a window: one scene at a time, and its names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from geoset.errors import GeosetError
from geoset.prepare.gravity import find_up
from geoset.prepare.named_sets import (
    LabelExport,
    NamedSet,
    check_all_open,
    export_labels,
    load_names,
)
from geoset.prepare.scene import PreparedScene
from geoset.prepare.stamped import array_names
from geoset.reports.class_colors import class_colors
from geoset.reports.figures import paint_depth, paint_sets
from geoset.viewer.picking import vertex_under
from geoset.viewer.surface_colors import (
    count_colors,
    frame_counts,
    group_colors,
    label_colors,
    name_colors,
)

COLOR, COUNTS, NAMES, FEATURES = "colour", "frames that see it", "names", "features"
SETS, GROUPS = "sets: ", "groups: "
FeatureColors = Callable[[PreparedScene], np.ndarray]


class Session:
    """The open scene, ways to colour it, and the names given to sets of all scenes.

    scenes: one is chosen by name; the first is open
    layer: whose sets a click names, and pictures of frames show
    folder: of labels, where names are kept and label images are exported to
    feature_colors: gives the (V,3) uint8 colours of a network's features on a scene

    Raises:
        GeosetError: names in the folder are of other scenes, or of layers that have changed.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        folder: Path,
        feature_colors: FeatureColors | None = None,
    ):
        check_all_open(scenes, folder)
        self.folder = folder
        self.named = {scene.name: load_names(scene, folder) for scene in scenes}
        self.feature_colors = feature_colors
        self._colors: dict[tuple[str, str], np.ndarray] = {}  # those that take seconds
        self.open(scenes[0].name)

    @property
    def scene_names(self) -> list[str]:
        """The scenes to choose from."""
        return list(self.named)

    def open(self, name: str) -> None:
        """Show another scene."""
        self.names = self.named[name]
        self.scene = self.names.scene
        self.layer = self.scene.layers[0]
        poses = np.stack([self.scene.world_from_camera(i) for i in range(len(self.scene))])
        self.up = find_up(self.scene.vertices, self.scene.faces, poses)

    @property
    def colorings(self) -> list[str]:
        """Ways to colour the surface."""
        layers = [SETS + name for name in self.scene.layers]
        groups = [GROUPS + name for name in array_names(self.scene.folder, "groups")]
        features = [FEATURES] if self.feature_colors else []
        return [COLOR, *layers, *groups, COUNTS, NAMES, *features]

    def surface_colors(self, coloring: str) -> np.ndarray:
        """Return (V,3) uint8 for one of `colorings`.

        Raises:
            GeosetError: a layer or grouping cannot be read.
        """
        if coloring == COLOR:
            return self.scene.colors
        if coloring == NAMES:
            return name_colors(self.names, self.layer)
        if coloring.startswith(SETS):
            return label_colors(self.scene.sets(coloring.removeprefix(SETS)))
        if coloring.startswith(GROUPS):
            return group_colors(self.scene, coloring.removeprefix(GROUPS))
        if self.takes_long(coloring):
            make = self.feature_colors if coloring == FEATURES else _seen_colors
            self._colors[self.scene.name, coloring] = make(self.scene)
        return self._colors[self.scene.name, coloring]

    def takes_long(self, coloring: str) -> bool:
        """Whether the surface's colours are yet to be computed, in seconds to minutes."""
        asks_frames = coloring in (COUNTS, FEATURES)
        return asks_frames and (self.scene.name, coloring) not in self._colors

    def overview(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a place (3,) from which the whole surface is seen, and its middle (3,)."""
        low, high = np.percentile(self.scene.vertices, [2, 98], axis=0)
        side = np.cross(self.up, np.eye(3)[np.abs(self.up).argmin()])
        middle = (low + high) / 2
        away = 0.65 * self.up + 0.5 * side / np.linalg.norm(side)
        return middle + away * np.linalg.norm(high - low), middle

    def pictures(self, i: int) -> dict[str, np.ndarray]:
        """Return what is known of frame i, as (H,W,3) uint8 pictures by caption."""
        image = self.scene.image(i)
        set_map = self.scene.set_map(i, self.layer)
        shown = {f"frame {i}": image, f"sets: {self.layer}": paint_sets(image, set_map)}
        if self.scene.has_depth:
            shown["depth, bright is near"] = paint_depth(self.scene.depth(i))
        return shown

    def pairs_of(self, i: int) -> list[tuple[int, float, float]]:
        """Return the frames paired with frame i: index, overlap, residual (metres, NaN unknown).

        Those that overlap most come first.
        """
        pairs = self.scene.pairs
        chosen = np.flatnonzero((pairs == i).any(axis=1))
        chosen = chosen[np.argsort(-self.scene.overlap[chosen], kind="stable")]
        others = pairs[chosen].sum(axis=1) - i
        return list(
            zip(
                others.tolist(),
                self.scene.overlap[chosen].tolist(),
                self.scene.residual[chosen].tolist(),
                strict=True,
            )
        )

    def name_under(self, name: str, origin: np.ndarray, direction: np.ndarray) -> NamedSet:
        """Name the set of `layer` that a ray meets, and keep that on disk; "" takes a name away.

        Raises:
            GeosetError: the ray meets no surface, or no set.
        """
        vertex = vertex_under(self.scene.vertices, self.scene.faces, origin, direction)
        label = -1 if vertex is None else int(self.scene.sets(self.layer)[vertex])
        if label < 0:
            raise GeosetError(f"no set of layer '{self.layer}' there; click on a coloured part")
        given = self.names.name(self.layer, label, name)
        self.names.save(self.folder)
        return given

    def undo(self) -> NamedSet | None:
        """Take back the last name given in this scene, and return it."""
        given = self.names.undo()
        if given is not None:
            self.names.save(self.folder)
        return given

    def legend(self) -> list[tuple[str, tuple[int, int, int], float]]:
        """Return the names in use in this scene: name, colour, share of the vertices."""
        classes = self.names.classes
        found = self.names.class_of_vertex(classes)
        return [
            (name, tuple(color.tolist()), float((found == k).mean()))
            for k, (name, color) in enumerate(zip(classes, class_colors(classes), strict=True))
        ]

    def export(self) -> LabelExport:
        """Write label images of all scenes with names to the folder.

        Raises:
            GeosetError: too little is named.
        """
        return export_labels(list(self.named.values()), self.folder)


def _seen_colors(scene: PreparedScene) -> np.ndarray:
    return count_colors(frame_counts(scene))
