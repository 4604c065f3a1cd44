"""Colours of a surface's vertices: what each of them is, said in a colour."""

import numpy as np

from geoset.prepare.groups import read_groups
from geoset.prepare.named_sets import NamedSets
from geoset.prepare.scene import PreparedScene, look_up
from geoset.reports.class_colors import class_colors
from geoset.reports.figures import set_colors

NOTHING = 70  # grey of vertices about which there is nothing to say
SET_SHARE, DIMMED = 0.35, 0.8  # of set colours over the surface, where nothing is named


def label_colors(labels: np.ndarray) -> np.ndarray:
    """Return (V,3) uint8: a colour for each label (V,), grey for -1."""
    return np.where(labels[:, None] < 0, np.uint8(NOTHING), set_colors(labels))


def group_colors(scene: PreparedScene, grouping: str) -> np.ndarray:
    """Return (V,3) uint8: a colour for each group of sets, grey for none."""
    layer, groups = read_groups(scene, grouping)
    return label_colors(look_up(groups, scene.sets(layer)))


def frame_counts(scene: PreparedScene) -> np.ndarray:
    """Return (V,) how many frames see each vertex."""
    counts = np.zeros(len(scene.vertices), dtype=np.int64)
    for i in range(len(scene)):
        vertex_map = scene.vertex_map(i)
        counts[np.unique(vertex_map[vertex_map >= 0])] += 1
    return counts


def count_colors(counts: np.ndarray) -> np.ndarray:
    """Return (V,3) uint8 from dark (one frame) to bright (most), on a log scale; grey for none."""
    from matplotlib import colormaps

    most = np.log(max(2, counts.max(initial=0)))
    colors = colormaps["viridis"](np.log(np.maximum(counts, 1)) / most, bytes=True)[:, :3]
    return np.where(counts[:, None] > 0, colors, np.uint8(NOTHING))


def name_colors(named: NamedSets, layer: str) -> np.ndarray:
    """Return (V,3) uint8: the colour of each named class; elsewhere, dim, surface and its sets."""
    classes, scene = named.classes, named.scene
    sets = label_colors(scene.sets(layer))
    dim = (DIMMED * ((1 - SET_SHARE) * scene.colors + SET_SHARE * sets)).astype(np.uint8)
    painted = np.concatenate([class_colors(classes), [(0, 0, 0)]]).astype(np.uint8)
    found = named.class_of_vertex(classes)
    return np.where(found[:, None] < 0, dim, painted[found])
