"""A grouping: sets of a layer, of different scenes too, declared alike.

groups/<name>.npy   (S,) int32, the group of each set by its label, -1 = none
groups/<name>.json  its stamp: the layer and its checksum, how it was made, how many groups there
                    are, and a digest of the groups of all scenes that were grouped at once
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from geoset.errors import GeosetError
from geoset.prepare.scene import PreparedScene
from geoset.prepare.stamped import array_names, checksum, read_array, read_stamp, write_stamped
from geoset.prepare.transfer import at_once

STAMP = ("layer", "layer_sha256", "count", "made_by", "data_set")
MOST_SETS = 10_000_000  # labels above are names rather than numbers, and a list by label is no use


def set_count(labels: np.ndarray) -> int:
    """Return S, one more than the largest label of a layer.

    Raises:
        GeosetError: labels are so large that a list of S entries is out of question.
    """
    count = int(labels.max(initial=-1)) + 1
    if count > MOST_SETS:
        raise GeosetError(
            f"a layer has the label {count - 1}, expected less than {MOST_SETS:,}; number its "
            "sets from 0"
        )
    return count


def write_grouping(
    scenes: Sequence[PreparedScene],
    name: str,
    layer: str,
    groups: Sequence[np.ndarray],
    count: int,
    made_by: dict,
) -> None:
    """Store a grouping of the sets of `layer` in each of the scenes that it was made for.

    groups: for each scene (S,) integers, -1 to count - 1

    Raises:
        GeosetError: groups do not fit the layer, or a scene has another grouping of the name.
    """
    check_free(scenes, name, layer, made_by)
    data_set = hashlib.sha256()
    for scene, group in zip(scenes, groups, strict=True):
        sets = set_count(scene.sets(layer))
        if group.shape != (sets,) or not ((group >= -1) & (group < count)).all():
            raise GeosetError(
                f"{scene.path}: groups are {group.shape}, {group.min(initial=-1)} to "
                f"{group.max(initial=-1)}, expected ({sets},), one for each set of layer "
                f"'{layer}', from -1 to {count - 1}"
            )
        data_set.update(scene.name.encode() + group.astype(np.int32).tobytes())
    for scene, group in zip(scenes, groups, strict=True):
        values = (layer, _layer_sha256(scene, layer), count, made_by, data_set.hexdigest())
        stamp = dict(zip(STAMP, values, strict=True))
        write_stamped(scene.folder, f"groups/{name}", group.astype(np.int32), stamp)


def check_free(scenes: Sequence[PreparedScene], name: str, layer: str, made_by: dict) -> None:
    """Refuse a name that a scene has for a grouping of another layer, or made otherwise.

    Raises:
        GeosetError: naming the scene and the two ways.
    """
    for scene in scenes:
        try:
            stamp = read_stamp(scene.folder, f"groups/{name}", STAMP)
        except GeosetError:
            continue  # absent, or half written
        if (stamp["layer"], stamp["made_by"]) != (layer, made_by):
            raise GeosetError(
                f"{scene.path}/groups/{name}.npy: groups layer '{stamp['layer']}' by "
                f"{stamp['made_by']}, now asked for layer '{layer}' by {made_by}. Choose another "
                f"--name, or remove groups/{name}.* of every scene"
            )


def read_groups(scene: PreparedScene, name: str) -> tuple[str, np.ndarray]:
    """Return the layer that grouping `name` is of, and the group of each of its sets.

    groups: (S,) int32 by label, -1 = none; the group of a pixel is `look_up(groups, set_map)`

    Raises:
        GeosetError: there is no such grouping, or its layer has changed since.
    """
    folder, file = scene.folder, f"groups/{name}"
    if not folder.exists(f"{file}.npy"):
        have = ", ".join(array_names(folder, "groups")) or "none"
        raise GeosetError(
            f"{scene.path}: has no grouping '{name}'; available: {have}. Make one with: geoset "
            f"group PREPARED --name {name}"
        )
    stamp, groups = read_stamp(folder, file, STAMP), read_array(folder, file)
    layer = stamp["layer"]
    labels = scene.sets(layer)
    is_same = _layer_sha256(scene, layer) == stamp["layer_sha256"]
    if not is_same or groups.shape != (set_count(labels),):
        raise GeosetError(
            f"{scene.path}/{file}.npy: layer '{layer}' has changed since the groups were made; "
            f"remove groups/{name}.* of every scene and run geoset group again"
        )
    return layer, groups


def group_count(scenes: Sequence[PreparedScene], name: str) -> int:
    """Return how many groups there are in grouping `name`, having checked that it is one.

    Raises:
        GeosetError: a scene lacks it, or has one that was made for other scenes, so that the same
            number means something else there.
    """
    at_once(lambda scene: read_groups(scene, name), scenes)
    stamps = at_once(lambda scene: read_stamp(scene.folder, f"groups/{name}", STAMP), scenes)
    for scene, stamp in zip(scenes, stamps, strict=True):
        if stamp["data_set"] != stamps[0]["data_set"]:
            raise GeosetError(
                f"{scenes[0].path} and {scene.path}: the grouping '{name}' was made for them "
                "apart, so that its numbers differ in meaning; run geoset group on all scenes at "
                "once"
            )
    return stamps[0]["count"]


def _layer_sha256(scene: PreparedScene, layer: str) -> str:
    return checksum(scene.folder, f"sets/{layer}")["sha256"]
